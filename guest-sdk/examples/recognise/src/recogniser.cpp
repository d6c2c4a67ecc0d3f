#include "recogniser.hpp"

#include <cmath>
#include <cstring>

#include "picture.hpp"
#include "tensorflow/lite/micro/kernels/micro_ops.h"
#include "tensorflow/lite/micro/micro_error_reporter.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

// The model's bytes, made from model.tflite by the Makefile.
extern "C" const unsigned char recognise_model[];

namespace recognise {
namespace {

// What the tensors of this model need (measured by arena_used_bytes(): 84 KiB), and a margin.
constexpr size_t kArenaBytes = 96 * 1024;
alignas(16) uint8_t arena[kArenaBytes];

// Version of the model file's format that the library reads.
constexpr uint32_t kSchemaVersion = 3;

// The output has three classes; the first is not used by this model.
constexpr int kPersonIndex = 1, kNoPersonIndex = 2;

// Never destroyed: a function's memory is thrown away as a whole.
tflite::MicroInterpreter *interpreter = nullptr;

float Logit(const TfLiteTensor *tensor, int index) {
  return tensor->params.scale * static_cast<float>(tensor->data.uint8[index] - tensor->params.zero_point);
}

}  // namespace

bool Initialise() {
  auto *reporter = new tflite::MicroErrorReporter;
  const tflite::Model *model = tflite::GetModel(recognise_model);
  if (model->version() != kSchemaVersion) return false;
  auto *resolver = new tflite::MicroMutableOpResolver<3>(reporter);
  resolver->AddBuiltin(tflite::BuiltinOperator_DEPTHWISE_CONV_2D,
                       tflite::ops::micro::Register_DEPTHWISE_CONV_2D());
  resolver->AddBuiltin(tflite::BuiltinOperator_CONV_2D, tflite::ops::micro::Register_CONV_2D());
  resolver->AddBuiltin(tflite::BuiltinOperator_AVERAGE_POOL_2D,
                       tflite::ops::micro::Register_AVERAGE_POOL_2D());
  auto *made = new tflite::MicroInterpreter(model, *resolver, arena, kArenaBytes, reporter);
  if (made->AllocateTensors() != kTfLiteOk) return false;
  if (made->input(0)->bytes != kPixels || made->output(0)->bytes <= kNoPersonIndex) return false;
  interpreter = made;
  return true;
}

bool Recognise(const uint8_t *grey, Answer *answer) {
  if (!interpreter) return false;
  std::memcpy(interpreter->input(0)->data.uint8, grey, kPixels);
  if (interpreter->Invoke() != kTfLiteOk) return false;
  const TfLiteTensor *output = interpreter->output(0);
  const float difference = Logit(output, kNoPersonIndex) - Logit(output, kPersonIndex);
  answer->person = 1.0f / (1.0f + std::exp(difference));
  answer->no_person = 1.0f - answer->person;
  return true;
}

}  // namespace recognise
