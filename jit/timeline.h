// What happened when, as a trace that chrome://tracing and Perfetto show: TAPELOOP_TRACE=file.json.
#pragma once

#include <chrono>
#include <string>

namespace tapeloop {

// Something that this thread does from here to the end of the scope. Costs a look at a switch when nobody traces; allocates
// only when somebody does.
class Span {
 public:
  // `kind` groups spans in viewers: "compile", "call", "thread". Both must outlive the span. Throws Error when the file
  // cannot be written.
  Span(const char* kind, const char* name);
  ~Span();
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  const char *kind_, *name_;  // no name: nobody traces
  std::chrono::steady_clock::time_point begin_;
};

// The same for something that ends now and began then.
void add_span(const char* kind, const std::string& name, std::chrono::steady_clock::time_point begin);

}  // namespace tapeloop
