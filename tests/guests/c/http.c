// Answers the HTTP request behind the call: its head, a line that says how long its body is, status
// 201, and two headers. Without a request it answers "no request".
#include "faaslet.h"

FAASLET_MAIN {
  char *head = faaslet_request(), agent[64];
  if (!head) return faaslet_printf("no request");
  faaslet_response_status(201);
  faaslet_response_header("content-type", "text/plain");
  if (faaslet_request_header(head, "X-Test", agent, sizeof agent)) faaslet_response_header("x-test", agent);
  return faaslet_printf("%sbody: %d bytes\n", head, (int)faaslet_input_len());
}
