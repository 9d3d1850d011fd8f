# What C offers and Python has no words for: unaligned loads, bit scans, prefetches, branch hints, page mappings, and the
# checks of the debug build. Everything else about the kernel is Python source.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

ctypedef const uint8_t *cbytes

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <pthread.h>

    #if !defined(__GNUC__) && !defined(__clang__)
    #error "Holdfast's kernel needs GCC or Clang"
    #endif

    #define hf_likely(x) __builtin_expect(!!(x), 1)
    #define hf_unlikely(x) __builtin_expect(!!(x), 0)
    #define hf_trailing_zeros(x) __builtin_ctzll(x)

    /* GCC takes a function that does nothing but prefetch for one without effect and drops the call; the empty assembler
       statement is an effect that it has to keep. */
    static inline void hf_prefetch(const void *address) {
        __builtin_prefetch(address, 1, 3);
        __asm__ volatile("");
    }

    /* Python code may change a column at any time: these read a value exactly once, and the compiler cannot read it again. */
    #define hf_read_8(address) (*(const volatile uint8_t *)(address))
    #define hf_read_64(address) (*(const volatile uint64_t *)(address))

    /* For work on eight bytes at once: "0" in each; what lifts every byte past 9 over its top bit; the top bits; the ones; the halves of
       pairs, fours and eights that add up to a number. */
    #define HF_ZEROS UINT64_C(0x3030303030303030)
    #define HF_PAST_NINE UINT64_C(0x7676767676767676)
    #define HF_TOP_BITS UINT64_C(0x8080808080808080)
    #define HF_ONES UINT64_C(0x0101010101010101)
    #define HF_PAIRS UINT64_C(0x00FF00FF00FF00FF)
    #define HF_FOURS UINT64_C(0x0000FFFF0000FFFF)

    /* In the debug build a broken invariant ends the process where it is found, in the release build it costs nothing. */
    #ifdef HOLDFAST_KERNEL_DEBUG
    #define HF_DEBUG 1
    #define hf_check(condition) do { if (!(condition)) { \\
        fprintf(stderr, "holdfast kernel: broken invariant at %s:%d: %s\\n", __FILE__, __LINE__, #condition); abort(); } } while (0)
    #else
    #define HF_DEBUG 0
    #define hf_check(condition) do { } while (0)
    #endif

    /* Of the bits of a row: those that stand for no byte that was looked at, and those beyond the first eight bytes. */
    #define HF_LAST_BITS UINT64_C(0xFF00000000000000)
    #define HF_PAST_EIGHT UINT64_C(0xFFFFFFFFFFFFFF00)

    /* The parsers read text eight bytes at a time, the first byte lowest. */
    static inline uint64_t hf_load_8(const uint8_t *text) {
        uint64_t word;
        memcpy(&word, text, 8);
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
    #endif
        return word;
    }

    static inline void hf_store_8(uint8_t *target, uint64_t word) {
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
    #endif
        memcpy(target, &word, 8);
    }

    static inline void hf_store_4(uint8_t *target, uint32_t word) {
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap32(word);
    #endif
        memcpy(target, &word, 4);
    }

    /* How many bits a number has; 0 has none. */
    static inline int hf_bit_length(uint64_t word) {
        return word ? 64 - __builtin_clzll(word) : 0;
    }

    /* Both halves of a product, folded into one: the building block of hashes. */
    static inline uint64_t hf_mix(uint64_t left, uint64_t right) {
        __uint128_t product = (__uint128_t)left * right;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }

    static inline uint32_t hf_load_4(const uint8_t *text) {
        uint32_t word;
        memcpy(&word, text, 4);
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap32(word);
    #endif
        return word;
    }

    /* One bit for each of up to 32 keys that is the one given. Of 32-bit keys there are a multiple of four. */
    #ifdef __SSE2__
    #include <emmintrin.h>
    static inline uint32_t hf_equal_32(const uint32_t *keys, uint32_t count, uint32_t key) {
        __m128i wanted = _mm_set1_epi32((int)key);
        uint32_t equal = 0;
        for (uint32_t first = 0; first < count; first += 4) {
            __m128i four = _mm_load_si128((const __m128i *)(keys + first));
            equal |= (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(four, wanted))) << first;
        }
        return equal;
    }
    #else
    static inline uint32_t hf_equal_32(const uint32_t *keys, uint32_t count, uint32_t key) {
        uint32_t equal = 0;
        for (uint32_t number = 0; number < count; number++) equal |= (uint32_t)(keys[number] == key) << number;
        return equal;
    }
    #endif
    static inline uint32_t hf_equal_64(const uint64_t *keys, uint32_t count, uint64_t key) {
        uint32_t equal = 0;
        for (uint32_t number = 0; number < count; number++) equal |= (uint32_t)(keys[number] == key) << number;
        return equal;
    }

    /* One bit for each of the next 48 bytes that is a line end, and one for each that may end a field: all below "0", and those that
       are not ASCII. */
    #ifdef __SSE2__
    static inline void hf_row_bits(const uint8_t *text, uint64_t *line_ends, uint64_t *field_ends) {
        __m128i newline = _mm_set1_epi8('\\n'), zero = _mm_set1_epi8('0');
        __m128i first = _mm_loadu_si128((const __m128i *)text), second = _mm_loadu_si128((const __m128i *)text + 1);
        __m128i third = _mm_loadu_si128((const __m128i *)text + 2);
    #define HF_BITS(comparison, other) ((uint64_t)(uint32_t)_mm_movemask_epi8(comparison(first, other)) \\
        | (uint64_t)(uint32_t)_mm_movemask_epi8(comparison(second, other)) << 16 \\
        | (uint64_t)(uint32_t)_mm_movemask_epi8(comparison(third, other)) << 32)
        *line_ends = HF_BITS(_mm_cmpeq_epi8, newline);
        *field_ends = HF_BITS(_mm_cmplt_epi8, zero);
    #undef HF_BITS
    }
    #else
    static inline void hf_row_bits(const uint8_t *text, uint64_t *line_ends, uint64_t *field_ends) {
        uint64_t lines = 0, fields = 0;
        for (int byte = 0; byte < 48; byte++) {
            lines |= (uint64_t)(text[byte] == '\\n') << byte;
            fields |= (uint64_t)((int8_t)text[byte] < '0') << byte;
        }
        *line_ends = lines;
        *field_ends = fields;
    }
    #endif

    /* One bit for each of the next 64 bytes that is a line end. */
    #ifdef __SSE2__
    static inline uint64_t hf_newline_bits(const uint8_t *text) {
        __m128i newline = _mm_set1_epi8('\\n');
        uint64_t bits = 0;
        for (int part = 0; part < 4; part++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)text + part);
            bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, newline)) << 16 * part;
        }
        return bits;
    }
    #else
    static inline uint64_t hf_newline_bits(const uint8_t *text) {
        uint64_t bits = 0;
        for (int byte = 0; byte < 64; byte++) bits |= (uint64_t)(text[byte] == '\\n') << byte;
        return bits;
    }
    #endif

    /* Zeroed pages, on a boundary that lets the system use huge pages; these are asked for only where `huge` says so,
       because one is two megabytes, however little of it is used. Returns NULL when there is no memory. */
    #define HF_HUGE_PAGE ((size_t)2 << 20)

    static void *hf_map_pages(size_t size, int huge) {
        size_t padded = huge ? size + HF_HUGE_PAGE : size;
        char *start = (char *)mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == (char *)MAP_FAILED) return NULL;
        if (huge) {
            size_t before = (HF_HUGE_PAGE - (uintptr_t)start % HF_HUGE_PAGE) % HF_HUGE_PAGE;
            size_t after = HF_HUGE_PAGE - before;
            if (before) munmap(start, before);
            if (after) munmap(start + before + size, after);
            start += before;
    #ifdef MADV_HUGEPAGE
            madvise(start, size, MADV_HUGEPAGE);
    #endif
        }
        return start;
    }

    /* How often this process came out of a fork: a thread that held a lock before one is not there after it. */
    static unsigned int hf_forks;
    static void hf_count_fork(void) { hf_forks++; }
    static int hf_count_forks(void) { return pthread_atfork(NULL, NULL, hf_count_fork); }

    /* Give whole pages back to the system; they are zero when they are touched next. */
    static void hf_forget_pages(void *start, size_t size) {
    #ifdef __linux__
        if (madvise(start, size, MADV_DONTNEED) == 0) return;
    #endif
        memset(start, 0, size);
    }

    /* Have the system give whole pages their memory now; what is in them stays. If it cannot, the first touch does it. */
    static void hf_touch_pages(void *start, size_t size) {
    #ifdef __linux__
        madvise(start, size, 23); /* MADV_POPULATE_WRITE, since Linux 5.14 */
    #endif
    }

    static inline void hf_unmap_pages(void *start, size_t size) {
        munmap(start, size);
    }
    """
    const bint HF_DEBUG
    unsigned int hf_forks
    int hf_count_forks()
    const uint64_t HF_ZEROS
    const uint64_t HF_PAST_NINE
    const uint64_t HF_TOP_BITS
    const uint64_t HF_ONES
    const uint64_t HF_PAIRS
    const uint64_t HF_FOURS
    const uint64_t HF_LAST_BITS
    const uint64_t HF_PAST_EIGHT
    bint hf_likely(bint condition)
    bint hf_unlikely(bint condition)
    int hf_trailing_zeros(uint64_t word)
    void hf_prefetch(const void *address)
    uint8_t hf_read_8(const uint8_t *address)
    uint64_t hf_read_64(const uint64_t *address)
    void hf_check(bint condition)
    uint64_t hf_load_8(cbytes text)
    void hf_store_8(uint8_t *target, uint64_t word)
    void hf_store_4(uint8_t *target, uint32_t word)
    int hf_bit_length(uint64_t word)
    uint32_t hf_load_4(cbytes text)
    uint64_t hf_mix(uint64_t left, uint64_t right)
    uint32_t hf_equal_32(const uint32_t *keys, uint32_t count, uint32_t key)
    uint32_t hf_equal_64(const uint64_t *keys, uint32_t count, uint64_t key)
    uint64_t hf_newline_bits(cbytes text)
    void hf_row_bits(cbytes text, uint64_t *line_ends, uint64_t *field_ends)
    void *hf_map_pages(size_t size, bint huge)
    void hf_unmap_pages(void *start, size_t size)
    void hf_forget_pages(void *start, size_t size)
    void hf_touch_pages(void *start, size_t size)
