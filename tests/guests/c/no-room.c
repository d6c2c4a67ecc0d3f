// room.c with its FAASLET_MAIN, and an image whose heap was left no room.
#define FAASLET_HEADROOM_KIB 0
#include "room.c"
