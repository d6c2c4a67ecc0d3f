// Answers who the call is: "TENANT FUNCTION CALL-ID-IN-HEX ATTEMPT DEPTH".
#include "faaslet.h"

FAASLET_MAIN {
  char tenant[129] = {0}, function[129] = {0};
  struct faaslet_identity identity;
  if (faaslet_tenant(tenant, 128) < 0 || faaslet_function(function, 128) < 0 || faaslet_identity(&identity) < 0)
    return faaslet_fail("the host does not say who this call is");
  faaslet_printf("%s %s ", tenant, function);
  for (size_t i = 0; i < sizeof identity.call_id; i++) faaslet_printf("%02x", identity.call_id[i]);
  return faaslet_printf(" %u %u", identity.attempt, identity.depth);
}
