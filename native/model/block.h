// The only description of a transformer block: its sizes and switches, and the weights it has. The tower and the decoder are both made of it.
#pragma once

namespace mipha {

/// How attention and MLP are added to the residual stream x.
enum class Residual {
  kSequential,  // x += attention(norm1 x), then x += mlp(norm2 x): ViT, SigLIP
  kParallel,    // x += attention(norm1 x) + mlp(norm1 x): Phi; there is no norm2
};

struct BlockConfig {
  int hidden = 0;        // width of the residual stream
  int intermediate = 0;  // width inside the MLP
  int heads = 0;
  int head_size = 0;
  float epsilon = 0;  // of every LayerNorm
  Residual residual = Residual::kSequential;
  bool causal = false;   // a row looks at itself and those before it, else at all
  int rotary_dims = 0;   // leading dims of each head that are rotated; pair i with i + rotary_dims / 2; 0: none
  float rope_theta = 0;  // RoFormer, arXiv 2104.09864

  int attention_width() const { return heads * head_size; }  // of q, of k, of v
  int qkv_width() const { return 3 * attention_width(); }
};

/// SigLIP's block (arXiv 2303.15343).
inline BlockConfig siglip_block(int hidden, int intermediate, int heads, float epsilon) {
  return {hidden, intermediate, heads, heads > 0 ? hidden / heads : 0, epsilon, Residual::kSequential, false, 0, 0};
}

/// The block of Phi-1.5 and Phi-2.
inline BlockConfig phi_block(int hidden, int intermediate, int heads, float epsilon, int rotary_dims, float rope_theta) {
  return {hidden, intermediate, heads, heads > 0 ? hidden / heads : 0, epsilon, Residual::kParallel, true, rotary_dims, rope_theta};
}

struct Norm {
  const float* gain = nullptr;  // [hidden]
  const float* bias = nullptr;  // [hidden]
};

/// Matrix: Linear as stored, or what a backend makes of it.
template <class Matrix>
struct BlockOf {
  Norm norm1;
  Matrix qkv;   // [qkv_width, hidden]: all q rows, all k rows, all v rows
  Matrix out;   // [hidden, attention_width]
  Norm norm2;   // with Residual::kSequential
  Matrix up;    // [intermediate, hidden]
  Matrix down;  // [hidden, intermediate]
};

/// What the parts of a block are called in a package.
struct BlockNames {
  const char *layers, *norm1, *qkv, *out, *norm2, *up, *down;
};
constexpr BlockNames kTowerNames = {"vision.layers.", "norm1", "qkv", "out", "norm2", "fc1", "fc2"};
constexpr BlockNames kDecoderNames = {"language.layers.", "norm", "qkv", "dense", nullptr, "fc1", "fc2"};

}  // namespace mipha
