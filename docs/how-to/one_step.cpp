// One step of a law at n points with ONNX Runtime: one_step MODEL.onnx, for laws with one strain
// component and one internal variable. Prints stress, new internal variable and tangent.
#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <vector>

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "law");
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    Ort::Session law(environment, argv[1], options);

    const int64_t n = 3;
    std::vector<double> strain{0.1, 0.2, 0.3}, strain_old(n, 0.0), statev(n, 0.0), dt(n, 0.05);
    const std::array<int64_t, 2> shape{n, 1};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<Ort::Value> inputs; // views: the vectors above own the numbers
    for (auto *values : {&strain, &strain_old, &statev, &dt})
        inputs.push_back(Ort::Value::CreateTensor<double>(memory, values->data(), values->size(),
                                                          shape.data(), shape.size()));

    const char *in[] = {"strain", "strain_old", "statev", "dt"};
    const char *out[] = {"stress", "statev_new", "tangent", "residual", "validity"};
    auto results = law.Run(Ort::RunOptions{nullptr}, in, inputs.data(), 4, out, 5);
    const double *stress = results[0].GetTensorData<double>();
    const double *statev_new = results[1].GetTensorData<double>();
    const double *tangent = results[2].GetTensorData<double>();
    const double *residual = results[3].GetTensorData<double>();
    const double *validity = results[4].GetTensorData<double>();
    for (int64_t i = 0; i < n; i++) {
        if (!(residual[i] <= 1e-10)) return 1; // NaN fails too: take a smaller step
        if (validity[i] > 0.0) std::fprintf(stderr, "point %d: outside the training range\n", int(i));
        std::printf("%.17g %.17g %.17g\n", stress[i], statev_new[i], tangent[i]);
    }
    return 0;
}
