// Global objects of C++, made once by the constructors and then part of the image. Answers
// "constructed 1 words 3 changed 1"; other numbers mean that constructors ran again, or that a call
// saw what another one changed.
#include <map>
#include <string>
#include <vector>

#include "faaslet.h"

namespace {

int constructions = 0;

struct Words {
  std::map<std::string, std::vector<int>> table;
  int changes = 0;
  Words() : table{{"one", {1}}, {"two", {1, 2}}, {"three", {1, 2, 3}}} { ++constructions; }
};

Words words;

}  // namespace

FAASLET_MAIN {
  const size_t before = words.table.size();
  words.table["four"] = std::vector<int>(4, 4);
  ++words.changes;
  return faaslet_printf("constructed %d words %zu changed %d", constructions, before, words.changes);
}
