// Finds races: two threads touch one byte, one of them writes, and nothing orders the two.
//
// The compiler puts a call before every load and store (-fsanitize=thread; none of its own runtime is linked). Barriers
// cut a threadgroup's time into epochs: what was touched in an earlier epoch of it is ordered. Within one, only
// simdgroup_barrier orders, and only the threads of its simdgroup: exchanging values orders no memory. Threadgroups
// of one launch are never ordered, and share only buffers. A thread may write to a buffer what another just wrote there:
// the language lets two lanes update one element alike.
#include "races.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <unordered_map>

namespace {

constexpr ulong PAGE = 4096, MOST_PAGES = 512, WIDEST = 16;
constexpr uint ANOTHER_GROUP = ~0u;

// Who touched a byte. An epoch of 0 is never; code is counted from the module's first byte.
struct Byte {
  uint written, writer, writer_meetings, writing_code;
  uint read, reader, reader_meetings, reading_code, lanes;
  uint others;    // the last epoch with readers of another simdgroup than `reader`'s
  uint elsewhere; // the last epoch in which an earlier threadgroup read
};

std::unordered_map<ulong, std::unique_ptr<Byte[]>> pages;
Byte *last_page;
ulong last_number = ~0ul;
const char *arrays, *arrays_end, *code;
uint epoch, launch_began, group_began;

// What a second thread writes to a buffer: a race if that changes it.
struct {
  const void *place;
  ulong count;
  char before[WIDEST], what[256];
} rewrite;

Byte &byte_at(ulong address)
{
  if (address / PAGE != last_number) {
    last_number = address / PAGE;
    std::unique_ptr<Byte[]> &page = pages[last_number];
    if (!page)
      page = std::make_unique<Byte[]>(PAGE);
    last_page = page.get();
  }
  return last_page[address % PAGE];
}

struct Access {
  ulong address, count;
  bool writes, shared;
  uint code;

  void describe(char (&what)[256], uint other, const char *did, uint there) const
  {
    const char *does = writes ? "writes" : "reads", *space = shared ? "threadgroup" : "device";
    if (other == ANOTHER_GROUP)
      snprintf(what, sizeof what, "%s device memory at code %#x which another threadgroup %s at code %#x", does, code,
               did, there);
    else
      snprintf(what, sizeof what, "%s %s memory at code %#x which thread %u %s at code %#x, and nothing orders them",
               does, space, code, other, did, there);
  }

  void after_write(uint other, uint there) const
  {
    char what[256];
    describe(what, other, "wrote", there);
    if (!writes || shared || count > WIDEST)
      shim_fail(0, what);
    if (rewrite.place)
      return;
    rewrite.place = reinterpret_cast<const void *>(address), rewrite.count = count;
    memcpy(rewrite.before, rewrite.place, count);
    memcpy(rewrite.what, what, sizeof what);
  }

  [[noreturn]] void after_read(uint other, uint there) const
  {
    char what[256];
    describe(what, other, "read", there);
    shim_fail(0, what);
  }

  void read(Byte &byte) const
  {
    const shim_thread &self = *shim_self;
    const bool joins = byte.read == epoch && byte.reader / 32 == self.simdgroup;
    if (byte.read >= launch_began && byte.read < group_began)
      byte.elsewhere = byte.read;
    if (byte.read == epoch && !joins)
      byte.others = epoch;
    if (!joins || byte.reader_meetings != self.meetings)
      byte.lanes = 0;
    byte.lanes |= 1u << self.lane;
    byte.read = epoch, byte.reader = self.number, byte.reader_meetings = self.meetings, byte.reading_code = code;
  }

  void write(Byte &byte) const
  {
    const shim_thread &self = *shim_self;
    if (!shared && ((byte.read >= launch_began && byte.read < group_began) || byte.elsewhere >= launch_began))
      after_read(ANOTHER_GROUP, byte.reading_code);
    if (byte.read == epoch) {
      const bool same = byte.reader / 32 == self.simdgroup, ordered = same && byte.reader_meetings < self.meetings;
      const uint lanes = ordered ? 0 : byte.lanes & ~(same ? 1u << self.lane : 0);
      if (lanes)
        after_read(byte.reader / 32 * 32 + (uint)__builtin_ctz(lanes), byte.reading_code);
      if (byte.others == epoch)
        after_read(byte.reader, byte.reading_code);
    }
    byte.written = epoch, byte.writer = self.number, byte.writer_meetings = self.meetings, byte.writing_code = code;
  }

  void touch() const
  {
    const shim_thread &self = *shim_self;
    races_settle();
    for (ulong i = 0; i < count; ++i) {
      Byte &byte = byte_at(address + i);
      if (!shared && byte.written >= launch_began && byte.written < group_began)
        after_write(ANOTHER_GROUP, byte.writing_code);
      const bool ordered = byte.writer / 32 == self.simdgroup && byte.writer_meetings < self.meetings;
      if (byte.written == epoch && byte.writer != self.number && !ordered)
        after_write(byte.writer, byte.writing_code);
      writes ? write(byte) : read(byte);
    }
  }
};

void touch(const void *place, ulong count, bool writes, const void *caller)
{
  if (shim_is_own(place))
    return;
  const bool shared = place >= arrays && place < arrays_end;
  Access{(ulong)place, count, writes, shared, (uint)((const char *)caller - code)}.touch();
}

} // namespace

void races_launch(const char *first_array, const char *end, const void *module_code)
{
  arrays = first_array, arrays_end = end, code = static_cast<const char *>(module_code);
  if (pages.size() > MOST_PAGES)
    pages.clear(), last_number = ~0ul;
  launch_began = epoch + 1;
  rewrite.place = nullptr;
}

void races_group() { group_began = ++epoch; }

void races_barrier() { ++epoch; }

void races_settle()
{
  if (!rewrite.place)
    return;
  const bool changed = memcmp(rewrite.place, rewrite.before, rewrite.count) != 0;
  rewrite.place = nullptr;
  if (changed)
    shim_fail(0, rewrite.what);
}

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}

#define ACCESSES(size) \
  void __tsan_read##size(void *place) { touch(place, size, false, __builtin_return_address(0)); } \
  void __tsan_write##size(void *place) { touch(place, size, true, __builtin_return_address(0)); } \
  void __tsan_unaligned_read##size(void *place) { touch(place, size, false, __builtin_return_address(0)); } \
  void __tsan_unaligned_write##size(void *place) { touch(place, size, true, __builtin_return_address(0)); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void *__tsan_memcpy(void *to, const void *from, ulong count)
{
  touch(from, count, false, __builtin_return_address(0));
  touch(to, count, true, __builtin_return_address(0));
  return memcpy(to, from, count);
}

void *__tsan_memset(void *to, int value, ulong count)
{
  touch(to, count, true, __builtin_return_address(0));
  return memset(to, value, count);
}

} // extern "C"
