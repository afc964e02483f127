/* Runs one compiled kernel: PROGRAM PROGRAMS ARGUMENT...; an argument is a file (a buffer: read, then written back) or
   # and a number (a slot). Buffers are 64-byte aligned, as the kernel expects. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void KERNEL(uint64_t *arguments, int64_t begin, int64_t end);

int main(int count, char **words) {
    uint64_t *slots = calloc(count, sizeof *slots);
    long *lengths = calloc(count, sizeof *lengths);
    for (int i = 2; i < count; i++) {
        if (words[i][0] == '#') {
            slots[i - 2] = strtoull(words[i] + 1, NULL, 10);
            continue;
        }
        FILE *file = fopen(words[i], "rb");
        if (!file) return 1;
        fseek(file, 0, SEEK_END);
        lengths[i] = ftell(file);
        rewind(file);
        void *memory = aligned_alloc(64, (lengths[i] + 64) / 64 * 64);
        if (fread(memory, 1, lengths[i], file) != (size_t)lengths[i]) return 2;
        fclose(file);
        slots[i - 2] = (uint64_t)(uintptr_t)memory;
    }
    KERNEL(slots, 0, strtoll(words[1], NULL, 10));
    for (int i = 2; i < count; i++) {
        if (words[i][0] == '#') continue;
        FILE *file = fopen(words[i], "wb");
        if (!file || fwrite((void *)(uintptr_t)slots[i - 2], 1, lengths[i], file) != (size_t)lengths[i]) return 3;
        fclose(file);
    }
    return 0;
}
