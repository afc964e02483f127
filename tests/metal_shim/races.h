// What runs threads tells what watches them.
#pragma once
#include "shim.h"

// A launch begins: where its threadgroup arrays lie, and its code, from which places are counted.
void races_launch(const char *arrays, const char *arrays_end, const void *code);
// A threadgroup of it begins.
void races_group();
// All threads of the threadgroup have met.
void races_barrier();

// The running thread is about to stop or to go on: what it wrote last has been written.
void races_settle();

// Whether an address is of the running thread's stack or the runtime's own.
bool shim_is_own(const void *address);
