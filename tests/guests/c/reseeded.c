// seeded.c with its FAASLET_MAIN, seeded again after each restore.
#define RESEED
#include "seeded.c"
