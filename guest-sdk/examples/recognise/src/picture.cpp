#include "picture.hpp"

#include <cstring>

namespace recognise {
namespace {

struct Header {
  int channels;  // 1 grey, 3 red, green and blue
  int width, height, maximum;
  size_t length;
};

bool IsSpace(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Reads one number of a netpbm header, past white space and comments; -1 when there is none.
int ReadNumber(const uint8_t *bytes, size_t length, size_t *at) {
  while (*at < length && (IsSpace(bytes[*at]) || bytes[*at] == '#')) {
    if (bytes[*at] == '#') {
      while (*at < length && bytes[*at] != '\n') ++*at;
    } else {
      ++*at;
    }
  }
  int number = -1;
  while (*at < length && bytes[*at] >= '0' && bytes[*at] <= '9') {
    number = (number < 0 ? 0 : number) * 10 + (bytes[*at] - '0');
    if (number > 1000000) return -1;
    ++*at;
  }
  return number;
}

const char *ReadHeader(const uint8_t *bytes, size_t length, Header *header) {
  header->channels = bytes[1] == '6' ? 3 : 1;
  size_t at = 2;
  header->width = ReadNumber(bytes, length, &at);
  header->height = ReadNumber(bytes, length, &at);
  header->maximum = ReadNumber(bytes, length, &at);
  header->length = at + 1;  // one white space ends the header
  if (header->width < 1 || header->height < 1 || at >= length || !IsSpace(bytes[at]))
    return "the picture's header is damaged: width, height and maximum were expected after P5 or P6";
  if (header->width > kMaxPictureSide || header->height > kMaxPictureSide)
    return "the picture is wider or higher than 16384 pixels: scale it down first";
  if (header->maximum != 255)
    return "the picture has another maximum than 255: convert it to 8 bits a channel";
  size_t needed = static_cast<size_t>(header->width) * header->height * header->channels;
  if (length - header->length < needed)
    return "the picture ends before its last row";
  return nullptr;
}

// Brightness of one pixel, times 256.
uint32_t Brightness(const uint8_t *pixel, int channels) {
  if (channels == 1) return pixel[0] * 256u;
  return pixel[0] * 77u + pixel[1] * 150u + pixel[2] * 29u;
}

// Averages, for each of the kSide by kSide pixels, the source pixels that it covers (at least one).
void Scale(const uint8_t *pixels, const Header &header, uint8_t *grey) {
  const int square = header.width < header.height ? header.width : header.height;
  const int left = (header.width - square) / 2, top = (header.height - square) / 2;
  for (int y = 0; y < kSide; ++y) {
    const int from_y = y * square / kSide, to_y = (y + 1) * square / kSide;
    for (int x = 0; x < kSide; ++x) {
      const int from_x = x * square / kSide, to_x = (x + 1) * square / kSide;
      uint64_t sum = 0;
      uint32_t count = 0;
      for (int sy = from_y; sy < to_y || sy == from_y; ++sy) {
        for (int sx = from_x; sx < to_x || sx == from_x; ++sx) {
          const size_t index = static_cast<size_t>(top + sy) * header.width + left + sx;
          sum += Brightness(pixels + index * header.channels, header.channels);
          ++count;
        }
      }
      grey[y * kSide + x] = static_cast<uint8_t>(sum / count / 256);
    }
  }
}

}  // namespace

const char *ReadPicture(const uint8_t *bytes, size_t length, uint8_t *grey) {
  if (length >= 2 && bytes[0] == 'P' && (bytes[1] == '5' || bytes[1] == '6')) {
    Header header;
    if (const char *problem = ReadHeader(bytes, length, &header)) return problem;
    Scale(bytes + header.length, header, grey);
    return nullptr;
  }
  if (length != kPixels)
    return "a picture was expected: binary PGM (P5) or PPM (P6), or 9216 bytes of 96x96 grey";
  std::memcpy(grey, bytes, kPixels);
  return nullptr;
}

}  // namespace recognise
