// The only description of a transformer block: its sizes and switches, and the weights it has. The tower and the decoder are both made of it.
#pragma once

namespace mipha {

enum class NormKind {
  kLayer,  // (x − mean) / √(variance + ε) · gain + bias: arXiv 1607.06450
  kRms,    // x / √(mean square + ε) · gain: arXiv 1910.07467
};

enum class Activation { kGeluTanh, kGeluErf, kQuickGelu, kSilu };  // GELU arXiv 1606.08415; quick: x · σ(1.702 x); SiLU: x · σ(x)

/// How attention and MLP are added to the residual stream x.
enum class Residual {
  kSequential,        // x += attention(norm1 x), then x += mlp(norm2 x): ViT, Llama
  kParallel,          // x += attention(norm1 x) + mlp(norm1 x): Phi; there is no norm2
  kParallelTwoNorms,  // x += attention(norm1 x) + mlp(norm2 x): GPT-NeoX
};

struct BlockConfig {
  int hidden = 0;        // width of the residual stream
  int intermediate = 0;  // width inside the MLP
  int heads = 0;         // of q
  int kv_heads = 0;      // of k and v, a divisor of heads: neighbouring heads share one (arXiv 2305.13245)
  int head_size = 0;
  NormKind norm = NormKind::kLayer;
  float epsilon = 0;  // of every norm
  Activation activation = Activation::kGeluTanh;
  bool gated = false;  // mlp(x) = down(activation(gate x) ∘ up x) instead of down(activation(up x)): arXiv 2002.05202
  Residual residual = Residual::kSequential;
  bool causal = false;   // a row looks at itself and those before it, else at all
  int rotary_dims = 0;   // leading dims of each head that are rotated; pair i with i + rotary_dims / 2; 0: none
  float rope_theta = 0;  // RoFormer, arXiv 2104.09864

  int attention_width() const { return heads * head_size; }
  int kv_width() const { return kv_heads * head_size; }
  int qkv_width() const { return attention_width() + 2 * kv_width(); }
  int up_width() const { return gated ? 2 * intermediate : intermediate; }
  bool parallel() const { return residual != Residual::kSequential; }
  bool has_norm2() const { return residual != Residual::kParallel; }
};

struct Norm {
  const float* gain = nullptr;  // [hidden]
  const float* bias = nullptr;  // [hidden], null with NormKind::kRms
};

/// Matrix: Linear as stored, or what a backend makes of it.
template <class Matrix>
struct BlockOf {
  Norm norm1;
  Matrix qkv;   // [qkv_width, hidden]: all q rows, all k rows, all v rows
  Matrix out;   // [hidden, attention_width]
  Norm norm2;   // where has_norm2()
  Matrix up;    // [up_width, hidden]; gated: all gate rows, then all up rows
  Matrix down;  // [hidden, intermediate]
};

}  // namespace mipha
