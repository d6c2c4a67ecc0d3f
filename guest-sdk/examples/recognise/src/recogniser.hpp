// The network: a MobileNet v1 that says whether a person is in a 96x96 grey picture.
// Used by the function (function.cpp) and by the native program that it is compared with
// (native.cpp), so that both do the same work.
#pragma once

#include <cstdint>

namespace recognise {

struct Answer {
  float person;     // 0 to 1
  float no_person;  // 1 - person
};

// Builds the interpreter and lays out its tensors: dear, once. False when the model is not whole.
bool Initialise();

// Runs the network over kPixels grey bytes. False when Initialise() has not been called.
bool Recognise(const uint8_t *grey, Answer *answer);

}  // namespace recognise
