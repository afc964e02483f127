/* Asks a Vulkan driver what its GPU is, and compiles compute modules with its compiler. Nothing is executed.

   probe describe                 one "key value..." line for each thing that a description needs
   probe compile < JOBS           a job is one line, "SUBGROUP FULL FILE": the subgroup size to require (0: the
                                  driver's choice), 1 if all subgroups must be full, and the module, whose entry point
                                  is "main", with push constants and no descriptors

   For each job one line "begin FILE" comes before the compiler runs, so that a crash names its module; then "stat NAME
   = VALUE" lines as the driver gives them, and "done" or "failed WHY". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vulkan/vulkan.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static VkPhysicalDevice gpu;
static VkExtensionProperties *extensions;
static uint32_t extension_count;

static int has(const char *name) {
  for (uint32_t i = 0; i < extension_count; i++)
    if (!strcmp(extensions[i].extensionName, name)) return 1;
  return 0;
}

static void stop(const char *what, int result) {
  printf("error %s: VkResult %d\n", what, result);
  exit(1);
}

static VkInstance open_gpu(void) {
  VkApplicationInfo application = {VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
  VkInstanceCreateInfo info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
  VkInstance instance;
  VkResult result = vkCreateInstance(&info, NULL, &instance);
  if (result) stop("vkCreateInstance", result);
  uint32_t count = 1;
  result = vkEnumeratePhysicalDevices(instance, &count, &gpu);
  if (result < 0 || !count) stop("vkEnumeratePhysicalDevices", result);
  vkEnumerateDeviceExtensionProperties(gpu, NULL, &extension_count, NULL);
  extensions = calloc(extension_count + 1, sizeof *extensions);
  vkEnumerateDeviceExtensionProperties(gpu, NULL, &extension_count, extensions);
  return instance;
}

static struct {
  VkPhysicalDeviceFeatures2 base;
  VkPhysicalDeviceVulkan11Features v11;
  VkPhysicalDeviceVulkan12Features v12;
  VkPhysicalDeviceVulkan13Features v13;
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
  VkPhysicalDeviceShaderBfloat16FeaturesKHR bfloat16;
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable;
} features;

/* The features of everything that a module may use; optional ones only where the driver has their extension. */
static void ask_features(void) {
  features.base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features.v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
  features.v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  features.v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
  features.matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
  features.bfloat16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR;
  features.executable.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;
  features.base.pNext = &features.v11;
  features.v11.pNext = &features.v12;
  features.v12.pNext = &features.v13;
  void **tail = &features.v13.pNext;
  if (has("VK_KHR_cooperative_matrix")) *tail = &features.matrix, tail = &features.matrix.pNext;
  if (has("VK_KHR_shader_bfloat16")) *tail = &features.bfloat16, tail = &features.bfloat16.pNext;
  if (has("VK_KHR_pipeline_executable_properties")) *tail = &features.executable;
  vkGetPhysicalDeviceFeatures2(gpu, &features.base);
  features.base.features.robustBufferAccess = 0; /* it would add a check to each access */
  features.matrix.cooperativeMatrixRobustBufferAccess = 0;
}

static const char *component(VkComponentTypeKHR type) {
  switch ((int)type) {
    case VK_COMPONENT_TYPE_FLOAT16_KHR: return "f16";
    case VK_COMPONENT_TYPE_FLOAT32_KHR: return "f32";
    case VK_COMPONENT_TYPE_FLOAT64_KHR: return "f64";
    case VK_COMPONENT_TYPE_SINT8_KHR: return "i8";
    case VK_COMPONENT_TYPE_SINT32_KHR: return "i32";
    case VK_COMPONENT_TYPE_UINT8_KHR: return "u8";
    case VK_COMPONENT_TYPE_UINT32_KHR: return "u32";
    case VK_COMPONENT_TYPE_BFLOAT16_KHR: return "bf16";
    default: return "other";
  }
}

static void describe(VkInstance instance) {
  VkPhysicalDeviceVulkan13Properties v13 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
  VkPhysicalDeviceVulkan12Properties v12 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES, &v13};
  VkPhysicalDeviceVulkan11Properties v11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES, &v12};
  VkPhysicalDeviceProperties2 all = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &v11};
  vkGetPhysicalDeviceProperties2(gpu, &all);
  ask_features();
  const VkPhysicalDeviceLimits *limits = &all.properties.limits;
  uint32_t version = all.properties.apiVersion;
  printf("device %s\n", all.properties.deviceName);
  printf("driver %s %s\n", v12.driverName, v12.driverInfo);
  printf("vulkan %u.%u\n", VK_VERSION_MAJOR(version), VK_VERSION_MINOR(version));
  printf("max_threads %u\n", limits->maxComputeWorkGroupInvocations);
  printf("shared_bytes %u\n", limits->maxComputeSharedMemorySize);
  printf("storage_range %u\n", limits->maxStorageBufferRange);
  printf("allocation %llu\n", (unsigned long long)v11.maxMemoryAllocationSize);
  printf("push_constants %u\n", limits->maxPushConstantsSize);
  printf("grid %u %u %u\n", limits->maxComputeWorkGroupCount[0], limits->maxComputeWorkGroupCount[1],
         limits->maxComputeWorkGroupCount[2]);
  printf("subgroup %u min %u max %u required %d full %d compute %d operations 0x%x\n", v11.subgroupSize,
         v13.minSubgroupSize, v13.maxSubgroupSize,
         features.v13.subgroupSizeControl && (v13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0,
         features.v13.computeFullSubgroups, (v11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0,
         v11.subgroupSupportedOperations);
  printf("f16 %d i8 %d i16 %d i64 %d storage8 %d storage16 %d address %d memory_model %d bf16 %d\n",
         features.v12.shaderFloat16, features.v12.shaderInt8, features.base.features.shaderInt16,
         features.base.features.shaderInt64, features.v12.storageBuffer8BitAccess,
         features.v11.storageBuffer16BitAccess, features.v12.bufferDeviceAddress, features.v12.vulkanMemoryModel,
         features.bfloat16.shaderBFloat16Type);
  printf("int8_dot signed %d mixed %d packed_signed %d packed_mixed %d\n",
         v13.integerDotProduct8BitSignedAccelerated, v13.integerDotProduct8BitMixedSignednessAccelerated,
         v13.integerDotProduct4x8BitPackedSignedAccelerated,
         v13.integerDotProduct4x8BitPackedMixedSignednessAccelerated);
  printf("denormals f32 preserve %d flush %d f16 preserve %d flush %d round_even f32 %d f16 %d inf_nan f32 %d f16 %d\n",
         v12.shaderDenormPreserveFloat32, v12.shaderDenormFlushToZeroFloat32, v12.shaderDenormPreserveFloat16,
         v12.shaderDenormFlushToZeroFloat16, v12.shaderRoundingModeRTEFloat32, v12.shaderRoundingModeRTEFloat16,
         v12.shaderSignedZeroInfNanPreserveFloat32, v12.shaderSignedZeroInfNanPreserveFloat16);
  VkPhysicalDeviceMemoryProperties memory;
  vkGetPhysicalDeviceMemoryProperties(gpu, &memory);
  for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
    printf("heap %llu local %d\n", (unsigned long long)memory.memoryHeaps[i].size,
           memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT);
  PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR matrices =
      (void *)vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
  if (!matrices || !features.matrix.cooperativeMatrix) return;
  uint32_t count = 0;
  matrices(gpu, &count, NULL);
  VkCooperativeMatrixPropertiesKHR *found = calloc(count + 1, sizeof *found);
  for (uint32_t i = 0; i < count; i++) found[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
  matrices(gpu, &count, found);
  for (uint32_t i = 0; i < count; i++)
    printf("matrix %ux%ux%u %s %s %s %s%s%s\n", found[i].MSize, found[i].NSize, found[i].KSize,
           component(found[i].AType), component(found[i].BType), component(found[i].CType),
           component(found[i].ResultType), found[i].saturatingAccumulation ? " saturating" : "",
           found[i].scope == VK_SCOPE_SUBGROUP_KHR ? "" : " other-scope");
}

static VkDevice make_device(void) {
  ask_features();
  const char *optional[] = {"VK_KHR_pipeline_executable_properties", "VK_KHR_cooperative_matrix",
                            "VK_KHR_shader_bfloat16"};
  const char *names[COUNT(optional)];
  uint32_t count = 0;
  for (size_t i = 0; i < COUNT(optional); i++)
    if (has(optional[i])) names[count++] = optional[i];
  float priority = 1;
  VkDeviceQueueCreateInfo queue = {
      VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
  VkDeviceCreateInfo info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                             &features.base,
                             .queueCreateInfoCount = 1,
                             .pQueueCreateInfos = &queue,
                             .enabledExtensionCount = count,
                             .ppEnabledExtensionNames = names};
  VkDevice device;
  VkResult result = vkCreateDevice(gpu, &info, NULL, &device);
  if (result) stop("vkCreateDevice", result);
  return device;
}

static void print_statistics(VkDevice device, VkPipeline pipeline) {
  PFN_vkGetPipelineExecutablePropertiesKHR properties =
      (void *)vkGetDeviceProcAddr(device, "vkGetPipelineExecutablePropertiesKHR");
  PFN_vkGetPipelineExecutableStatisticsKHR statistics =
      (void *)vkGetDeviceProcAddr(device, "vkGetPipelineExecutableStatisticsKHR");
  if (!features.executable.pipelineExecutableInfo || !properties || !statistics) return;
  VkPipelineInfoKHR about = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
  uint32_t parts = 0;
  properties(device, &about, &parts, NULL);
  VkPipelineExecutablePropertiesKHR part[8];
  memset(part, 0, sizeof part);
  for (size_t i = 0; i < COUNT(part); i++) part[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
  if (parts > COUNT(part)) parts = COUNT(part);
  properties(device, &about, &parts, part);
  for (uint32_t p = 0; p < parts; p++) {
    printf("stat subgroup size = %u\n", part[p].subgroupSize);
    VkPipelineExecutableInfoKHR which = {
        VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = p};
    VkPipelineExecutableStatisticKHR found[64];
    memset(found, 0, sizeof found);
    for (size_t i = 0; i < COUNT(found); i++)
      found[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    uint32_t count = COUNT(found);
    statistics(device, &which, &count, found);
    for (uint32_t i = 0; i < count; i++)
      switch (found[i].format) {
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR:
          printf("stat %s = %.6g\n", found[i].name, found[i].value.f64);
          break;
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
          printf("stat %s = %lld\n", found[i].name, (long long)found[i].value.i64);
          break;
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
          printf("stat %s = %d\n", found[i].name, found[i].value.b32);
          break;
        default: printf("stat %s = %llu\n", found[i].name, (unsigned long long)found[i].value.u64);
      }
  }
}

static int can_require;

static int can_require_subgroup_size(void) {
  VkPhysicalDeviceVulkan13Properties v13 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
  VkPhysicalDeviceProperties2 all = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &v13};
  vkGetPhysicalDeviceProperties2(gpu, &all);
  return features.v13.subgroupSizeControl && (v13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
}

static uint32_t *read_words(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  *bytes = ftell(file);
  rewind(file);
  uint32_t *words = malloc(*bytes);
  if (fread(words, 1, *bytes, file) != *bytes) words = NULL;
  fclose(file);
  return words;
}

static void compile(VkDevice device, VkPipelineLayout layout, const char *path, unsigned subgroup, unsigned full) {
  printf("begin %s\n", path);
  fflush(stdout);
  size_t bytes = 0;
  uint32_t *words = read_words(path, &bytes);
  if (!words) {
    printf("failed the file cannot be read\n");
    return;
  }
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  VkShaderModuleCreateInfo source = {
      VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes, .pCode = words};
  VkShaderModule module;
  VkResult result = vkCreateShaderModule(device, &source, NULL, &module);
  free(words);
  if (result) {
    printf("failed vkCreateShaderModule: VkResult %d\n", result);
    return;
  }
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo required = {
      VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO, .requiredSubgroupSize = subgroup};
  VkPipelineShaderStageCreateInfo stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                           .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                           .module = module,
                                           .pName = "main"};
  if (subgroup && can_require) stage.pNext = &required;
  if (full && features.v13.computeFullSubgroups)
    stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
  VkComputePipelineCreateInfo info = {
      VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .flags = features.executable.pipelineExecutableInfo ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0,
      .stage = stage,
      .layout = layout};
  VkPipeline pipeline;
  result = vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline);
  clock_gettime(CLOCK_MONOTONIC, &end);
  if (result) {
    printf("failed vkCreateComputePipelines: VkResult %d\n", result);
  } else {
    print_statistics(device, pipeline);
    printf("stat milliseconds = %.1f\n", 1e3 * (end.tv_sec - start.tv_sec) + 1e-6 * (end.tv_nsec - start.tv_nsec));
    printf("done\n");
    vkDestroyPipeline(device, pipeline, NULL);
  }
  vkDestroyShaderModule(device, module, NULL);
  fflush(stdout);
}

int main(int count, char **arguments) {
  VkInstance instance = open_gpu();
  if (count > 1 && !strcmp(arguments[1], "describe")) {
    describe(instance);
    return 0;
  }
  VkDevice device = make_device();
  can_require = can_require_subgroup_size();
  VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 128};
  VkPipelineLayoutCreateInfo info = {VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                     .pushConstantRangeCount = 1,
                                     .pPushConstantRanges = &range};
  VkPipelineLayout layout;
  VkResult result = vkCreatePipelineLayout(device, &info, NULL, &layout);
  if (result) stop("vkCreatePipelineLayout", result);
  char line[4096], path[4096];
  unsigned subgroup, full;
  while (fgets(line, sizeof line, stdin))
    if (sscanf(line, "%u %u %4095[^\n]", &subgroup, &full, path) == 3)
      compile(device, layout, path, subgroup, full);
  printf("finished\n");
  return 0;
}
