// Serves the matrix product that PyTorch asks a BLAS for from oneDNN, which knows more processors than many a BLAS does.
// A library to be preloaded; see bench/peer.cpp.
#include <oneapi/dnnl/dnnl.h>

// Fortran's interface, column-major: the transposed product of the exchanged operands, row-major.
extern "C" void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc) {
  (void)dnnl_sgemm(*trans_b, *trans_a, *n, *m, *k, *alpha, b, *ldb, a, *lda, *beta, c, *ldc);
}
