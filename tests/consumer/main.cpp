// The smallest program that needs tapeloop's headers and its library.
#include "ad/tensor.h"

int main() {
  tapeloop::Tensor t;
  return t.is_empty() ? 0 : 1;
}
