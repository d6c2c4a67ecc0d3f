// Pictures as bytes, turned into what the network takes: 96x96 grey pixels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace recognise {

constexpr int kSide = 96;
constexpr size_t kPixels = static_cast<size_t>(kSide) * kSide;

// Larger pictures are refused: at this size the network sees less than a hundredth of them.
constexpr int kMaxPictureSide = 16384;

// Reads a picture and writes its middle square, scaled, as kPixels grey bytes.
// Taken are binary PGM (P5) and PPM (P6) of 8 bits, and kPixels bytes of grey without a header.
// Returns nullptr, or a sentence that says what was expected and what was found.
const char *ReadPicture(const uint8_t *bytes, size_t length, uint8_t *grey);

}  // namespace recognise
