// Says whether a person is in a picture. Input: see picture.hpp. Output: JSON, such as
// {"label":"person","person":0.93,"no_person":0.07}
#include "faaslet.h"
#include "picture.hpp"
#include "recogniser.hpp"

// The interpreter is part of the image that every call starts from.
FAASLET_INIT {
  if (!recognise::Initialise()) {
    faaslet_log(FAASLET_ERROR, "the model cannot be used: it is damaged or of another version");
    abort();
  }
}

FAASLET_MAIN {
  size_t length;
  const auto *bytes = reinterpret_cast<const uint8_t *>(faaslet_input(&length));
  static uint8_t grey[recognise::kPixels];
  if (const char *problem = recognise::ReadPicture(bytes, length, grey)) return faaslet_fail("%s", problem);
  recognise::Answer answer;
  if (!recognise::Recognise(grey, &answer)) return faaslet_fail("the network did not run");
  faaslet_response_header("content-type", "application/json");
  return faaslet_printf("{\"label\":\"%s\",\"person\":%.4f,\"no_person\":%.4f}\n",
                        answer.person > answer.no_person ? "person" : "no person", answer.person,
                        answer.no_person);
}
