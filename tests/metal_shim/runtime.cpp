// Runs the threads of threadgroups as fibers of one OS thread, and lets them meet.
#include "races.h"

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <vector>

namespace {

constexpr size_t STACK = 256 << 10, GUARD = 64 << 10;

enum class State { READY, AT_BARRIER, AT_MEETING, RETURNED };

struct Fiber : shim_thread {
  void *stack_pointer;
  char *stack;
  State state;
  int line;
};

struct Module {
  void (*entry)(void *const *buffers);
  char *arrays, *arrays_end;
};

std::vector<Fiber> fibers;
std::vector<shim_subgroup> subgroups;
void *scheduler;
const Module *module_;
void *const *buffers_;
char message[1024];

} // namespace

extern "C" {

shim_thread *shim_self;

// Saves what a function must keep on this stack, and goes on with the other.
void shim_switch(void **save, void *to);

#if defined(__x86_64__)
asm(R"(
.globl shim_switch
.hidden shim_switch
shim_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
#elif defined(__aarch64__)
asm(R"(
.globl shim_switch
.hidden shim_switch
shim_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]; stp x21, x22, [sp, #16]; stp x23, x24, [sp, #32]; stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]; stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]; stp d10, d11, [sp, #112]; stp d12, d13, [sp, #128]; stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]; ldp x21, x22, [sp, #16]; ldp x23, x24, [sp, #32]; ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]; ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]; ldp d10, d11, [sp, #112]; ldp d12, d13, [sp, #128]; ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the shim's fibers are written for x86-64 and AArch64"
#endif

static void stop(State state, int line)
{
  Fiber *self = static_cast<Fiber *>(shim_self);
  races_settle();
  self->state = state;
  self->line = line;
  shim_switch(&self->stack_pointer, scheduler);
}

void shim_barrier(int line) { stop(State::AT_BARRIER, line); }

void shim_meet(int line)
{
  shim_thread *self = shim_self;
  stop(State::AT_MEETING, line);
  self->parity ^= 1;
}

void shim_ordered() { ++shim_self->meetings; }

[[noreturn]] void shim_fail(int line, const char *what)
{
  Fiber *self = static_cast<Fiber *>(shim_self);
  if (!message[0]) {
    const int length = line ? snprintf(message, sizeof message, "line %d: ", line) : 0;
    snprintf(message + length, sizeof message - length, "thread %u of threadgroup %u %s", self->number, self->group, what);
  }
  void *unused;
  shim_switch(&unused, scheduler);
  __builtin_unreachable();
}

static void enter()
{
  module_->entry(buffers_);
  stop(State::RETURNED, 0);
}

// What -fsanitize=bounds,signed-integer-overflow,shift,integer-divide-by-zero calls.
struct Place {
  const char *file;
  unsigned line, column;
};
#define HANDLER(name, what) \
  [[noreturn]] void __ubsan_handle_##name##_abort(Place *place) { shim_fail((int)place->line, what); }
HANDLER(out_of_bounds, "goes past the end of an array")
HANDLER(add_overflow, "adds integers past their limits")
HANDLER(sub_overflow, "subtracts integers past their limits")
HANDLER(mul_overflow, "multiplies integers past their limits")
HANDLER(negate_overflow, "negates the least integer")
HANDLER(divrem_overflow, "divides by zero or past the limits")
HANDLER(shift_out_of_bounds, "shifts by more bits than there are")
HANDLER(type_mismatch_v1, "uses a pointer that is not aligned")

} // extern "C"

namespace metal {

void shim_multiply(const float *left, const float *right, float *sums, int line)
{
  shim_thread *self = shim_self;
  shim_subgroup *subgroup = self->subgroup;
  const int parity = self->parity, lane = (int)self->lane;
  if (subgroup->threads != 32)
    shim_fail(line, "uses a matrix in a simdgroup of fewer than 32 threads");
  memcpy(subgroup->left[parity] + 2 * lane, left, 2 * sizeof(float));
  memcpy(subgroup->right[parity] + 2 * lane, right, 2 * sizeof(float));
  shim_meet(line);
  for (int i = 0; i < 2; ++i) {
    const int row = (2 * lane + i) / 8, column = (2 * lane + i) % 8;
    for (int k = 0; k < 8; ++k)
      sums[i] += subgroup->left[parity][8 * row + k] * subgroup->right[parity][8 * k + column];
  }
}

} // namespace metal

bool shim_is_own(const void *address)
{
  const char *place = static_cast<const char *>(address), *stack = static_cast<Fiber *>(shim_self)->stack;
  const char *first = reinterpret_cast<const char *>(subgroups.data());
  const char *end = reinterpret_cast<const char *>(subgroups.data() + subgroups.size());
  return (place >= stack && place < stack + STACK) || (place >= first && place < end);
}

static void prepare(unsigned threads)
{
  while (fibers.size() < threads) {
    char *stack = static_cast<char *>(
        mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    mprotect(stack, GUARD, PROT_NONE);
    Fiber fiber{};
    fiber.stack = stack;
    fibers.push_back(fiber);
  }
  subgroups.resize((threads + 31) / 32);
}

static void start(unsigned group, unsigned threads)
{
  for (unsigned t = 0; t < threads; ++t) {
    Fiber &fiber = fibers[t];
    fiber.subgroup = &subgroups[t / 32];
    fiber.subgroup->threads = (int)(threads - t / 32 * 32 < 32 ? threads - t / 32 * 32 : 32);
    fiber.group = group, fiber.number = t, fiber.lane = t % 32, fiber.simdgroup = t / 32;
    fiber.meetings = 0, fiber.parity = 0;
    fiber.state = State::READY;
    void **top = reinterpret_cast<void **>(fiber.stack + STACK - 256);
#if defined(__x86_64__)
    *--top = nullptr; // where `enter` would return to
    *--top = reinterpret_cast<void *>(enter);
    top -= 6;
#else
    top -= 20;
    top[11] = reinterpret_cast<void *>(enter);
#endif
    fiber.stack_pointer = top;
  }
}

static const char *word(State state)
{
  return state == State::RETURNED ? "has returned"
         : state == State::AT_BARRIER ? "waits for its threadgroup"
                                      : "waits for its simdgroup";
}

static void complain(const Fiber &a, const Fiber &b)
{
  snprintf(message, sizeof message, "threadgroup %u: thread %u %s at line %d, thread %u %s at line %d", a.group,
           a.number, word(a.state), a.line, b.number, word(b.state), b.line);
}

// Whether the fibers [first, end) all stopped alike, in the same line; the first that did not.
static unsigned differing(unsigned first, unsigned end)
{
  for (unsigned t = first + 1; t < end; ++t)
    if (fibers[t].state != fibers[first].state || fibers[t].line != fibers[first].line)
      return t;
  return end;
}

static bool run_group(unsigned threads, bool backwards)
{
  for (;;) {
    for (unsigned i = 0; i < threads; ++i) {
      Fiber &fiber = fibers[backwards ? threads - 1 - i : i];
      if (fiber.state != State::READY)
        continue;
      shim_self = &fiber;
      shim_switch(&scheduler, fiber.stack_pointer);
      if (message[0])
        return false;
    }
    backwards = !backwards;
    bool moved = false;
    for (unsigned first = 0; first < threads; first += 32) {
      const unsigned end = first + 32 < threads ? first + 32 : threads;
      const unsigned other = differing(first, end);
      if (other < end)
        return complain(fibers[first], fibers[other]), false;
      if (fibers[first].state == State::AT_MEETING) {
        for (unsigned t = first; t < end; ++t)
          fibers[t].state = State::READY;
        moved = true;
      }
    }
    if (moved)
      continue;
    const unsigned other = differing(0, threads);
    if (other < threads)
      return complain(fibers[0], fibers[other]), false;
    if (fibers[0].state == State::RETURNED)
      return true;
    races_barrier();
    for (unsigned t = 0; t < threads; ++t)
      fibers[t].state = State::READY;
  }
}

// Runs `groups` threadgroups of `threads` threads. What went wrong, or null.
extern "C" const char *shim_run(const Module *module, void *const *buffers, unsigned groups, unsigned threads)
{
  module_ = module, buffers_ = buffers;
  message[0] = 0;
  prepare(threads);
  Dl_info code;
  dladdr(reinterpret_cast<const void *>(module->entry), &code);
  races_launch(module->arrays, module->arrays_end, code.dli_fbase);
  for (unsigned group = 0; group < groups; ++group) {
    if (module->arrays)
      memset(module->arrays, 0xff, (size_t)(module->arrays_end - module->arrays));
    start(group, threads);
    races_group();
    if (!run_group(threads, group % 2))
      return message;
  }
  return nullptr;
}
