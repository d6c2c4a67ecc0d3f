// The same network as a native program, to compare the function with.
//
//   recognise-native PICTURE [RUNS]
//
// prints the answer as the function does; with RUNS it runs the network so often and prints the
// nanoseconds of each run instead, one a line, in the order in which they ran.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "picture.hpp"
#include "recogniser.hpp"

namespace {

constexpr long kMaxRuns = 10000000;

int Fail(const char *message) {
  std::fprintf(stderr, "recognise-native: %s\n", message);
  return 1;
}

int PrintTimes(const uint8_t *grey, long runs) {
  using Clock = std::chrono::steady_clock;
  std::vector<long long> times(static_cast<size_t>(runs));
  recognise::Answer answer;
  for (auto &time : times) {
    const auto start = Clock::now();
    if (!recognise::Recognise(grey, &answer)) return Fail("the network did not run");
    time = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
  }
  for (const auto time : times) std::printf("%lld\n", time);
  return 0;
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 2 || count > 3) return Fail("usage: recognise-native PICTURE [RUNS]");
  std::ifstream file(arguments[1], std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || bytes.empty()) return Fail("the picture cannot be read");
  static uint8_t grey[recognise::kPixels];
  const auto *data = reinterpret_cast<const uint8_t *>(bytes.data());
  if (const char *problem = recognise::ReadPicture(data, bytes.size(), grey)) return Fail(problem);
  if (!recognise::Initialise()) return Fail("the model is damaged");
  if (count == 3) {
    const long runs = std::strtol(arguments[2], nullptr, 10);
    if (runs < 1 || runs > kMaxRuns) return Fail("RUNS is a number from 1 to 10000000");
    return PrintTimes(grey, runs);
  }
  recognise::Answer answer;
  if (!recognise::Recognise(grey, &answer)) return Fail("the network did not run");
  std::printf("{\"label\":\"%s\",\"person\":%.4f,\"no_person\":%.4f}\n",
              answer.person > answer.no_person ? "person" : "no person", answer.person, answer.no_person);
  return 0;
}
