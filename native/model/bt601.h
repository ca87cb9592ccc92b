// From the luma and chroma of a camera to RGB, in integers that every machine agrees on.
#pragma once

namespace mipha::bt601 {

// Limited range: luma 16..235, chroma 16..240 around 128. RGB from it needs these factors, derived from the standard's
// luma weights of red and blue, in 16-bit fixed point.
constexpr double kRedWeight = 0.299, kBlueWeight = 0.114, kGreenWeight = 1 - kRedWeight - kBlueWeight;
constexpr int fixed16(double value) {
  return static_cast<int>(value * 65536 + 0.5);
}
constexpr int kLuma = fixed16(255.0 / 219);
constexpr int kCrToRed = fixed16(2 * (1 - kRedWeight) * 255 / 224);
constexpr int kCbToBlue = fixed16(2 * (1 - kBlueWeight) * 255 / 224);
constexpr int kCrToGreen = fixed16(2 * (1 - kRedWeight) * kRedWeight / kGreenWeight * 255 / 224);
constexpr int kCbToGreen = fixed16(2 * (1 - kBlueWeight) * kBlueWeight / kGreenWeight * 255 / 224);

}  // namespace mipha::bt601
