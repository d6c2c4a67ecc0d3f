// Counts the words of a text by map and reduce: the caller keeps the text in state once, a call is
// chained for each part of it, and the parts add their counts up in one vector that they share.
//
//   input "keep NAME\nTEXT"          keeps a text
//   input "count NAME PARTS WORD..." how often each word occurs in it
//
// Words are told apart by letters and digits, capitals or not.
#include "faaslet_state.hpp"

#include <cctype>
#include <sstream>
#include <string>
#include <vector>

namespace {

using faaslet::state::AsyncVector;
using faaslet::state::Mapped;
using faaslet::state::Rule;
using faaslet::state::Value;

// Most parts, and most words asked for.
constexpr size_t kMaxParts = 64, kMaxWords = 64;
// Largest text, in bytes.
constexpr uint64_t kMaxText = 64 << 20;

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

std::string lower(std::string text) {
  for (char &c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

int keep(const std::string &name, const char *text, size_t length) {
  faaslet_state_spec spec = {};
  spec.quota_bytes = kMaxText;
  spec.element = FAASLET_U8;
  Value value("text/" + name, &spec);
  if (!value || faaslet_state_resize(value.handle(), static_cast<int64_t>(length)) < 0 ||
      faaslet_state_write(value.handle(), 0, text, static_cast<uint32_t>(length)) < 0 || !value.push())
    return faaslet_state_fail("keep the text");
  return faaslet_printf("%zu bytes", length);
}

std::vector<std::string> words_after(std::istringstream &in) {
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(lower(word));
  return words;
}

// "run NAME WORDS-AS-KEY FROM TO WORD...": adds the counts of one part.
int count_part() {
  std::istringstream in(faaslet_input(nullptr));
  std::string name, counts_key;
  size_t from = 0, to = 0;
  in >> name >> counts_key >> from >> to;
  const std::vector<std::string> words = words_after(in);
  Value text("text/" + name, nullptr);
  AsyncVector<int64_t> counts(counts_key, words.size(), Rule::sum);
  if (!text || !counts) return faaslet_state_fail("open a part");
  // A word belongs to the part in which it begins: look one byte back, and read on to its end.
  const size_t end = text.bytes(), first = from > 0 ? from - 1 : 0, last = std::min(end, to + 256);
  const Mapped<const char> bytes(text, first, last - first, FAASLET_MAP_READ);
  if (!bytes) return faaslet_state_fail("map a part");
  size_t at = from - first;
  if (from > 0 && is_word(bytes[0]))
    while (at < bytes.size() && is_word(bytes[at])) at++;
  while (at < to - first) {
    if (!is_word(bytes[at])) {
      at++;
      continue;
    }
    std::string word;
    while (at < bytes.size() && is_word(bytes[at])) word.push_back(bytes[at++]);
    word = lower(word);
    for (size_t i = 0; i < words.size(); i++)
      if (word == words[i] && !counts.merge(i, 1)) return faaslet_state_fail("add a count");
  }
  return counts.push() ? 0 : faaslet_state_fail("push the counts");
}

int count(const std::string &name, size_t parts, const std::vector<std::string> &words) {
  if (parts == 0 || parts > kMaxParts || words.empty() || words.size() > kMaxWords)
    return faaslet_fail("expected 1 to %zu parts and 1 to %zu words", kMaxParts, kMaxWords);
  Value text("text/" + name, nullptr);
  if (!text) return faaslet_state_fail("open the text");
  struct faaslet_identity identity;
  faaslet_identity(&identity);
  std::string key = "counts/" + name + "/";
  for (const uint8_t byte : identity.call_id) key += "0123456789abcdef"[byte >> 4], key += "0123456789abcdef"[byte & 15];
  AsyncVector<int64_t> counts(key, words.size(), Rule::sum);
  if (!counts) return faaslet_state_fail("make the counts");
  const size_t length = text.bytes();
  std::vector<int32_t> calls;
  for (size_t part = 0; part < parts; part++) {
    std::ostringstream input;
    input << name << ' ' << key << ' ' << length * part / parts << ' ' << length * (part + 1) / parts;
    for (const std::string &word : words) input << ' ' << word;
    const std::string bytes = input.str();
    calls.push_back(faaslet_call_function(count_part, bytes.data(), bytes.size()));
  }
  for (const int32_t call : calls)
    if (call < 0 || faaslet_await(call) != FAASLET_RETURNED) return faaslet_fail("a part failed: %s", call < 0 ? faaslet_status_text(call) : faaslet_result(call, nullptr));
  if (!counts.pull()) return faaslet_state_fail("pull the counts");
  for (size_t i = 0; i < words.size(); i++)
    if (faaslet_printf("%s %lld\n", words[i].c_str(), static_cast<long long>(counts[i])) != 0) return 1;
  return faaslet_state_delete(key.c_str()) < 0 ? faaslet_state_fail("forget the counts") : 0;
}

} // namespace

FAASLET_MAIN {
  size_t length;
  const char *input = faaslet_input(&length);
  const char *line = static_cast<const char *>(memchr(input, '\n', length));
  std::istringstream in(std::string(input, line ? static_cast<size_t>(line - input) : length));
  std::string what, name;
  in >> what >> name;
  if (what == "keep" && !name.empty() && line) return keep(name, line + 1, length - static_cast<size_t>(line + 1 - input));
  if (what != "count" || name.empty()) return faaslet_fail("expected `keep NAME` with a text below it, or `count NAME PARTS WORD...`");
  size_t parts = 0;
  in >> parts;
  return count(name, parts, words_after(in));
}
