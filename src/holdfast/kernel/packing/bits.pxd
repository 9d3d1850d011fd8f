# Words of a few bits side by side: the inner loops of words.py. A loop for each width, since all its shifts and places are
# constants then; Python has no words for that.

from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    # Words are put and taken in groups, each of as many bytes as a word has bits.
    GROUP_WORDS = 8
    # So far past the end of a group may putting it write, and taking it read.
    GROUP_SLACK_BYTES = 9

cdef extern from * nogil:
    """
    #define HF_UNROLLED static inline __attribute__((always_inline)) void

    /* Put words, each a value less the base: group by group, 64 bits at a time. */
    HF_UNROLLED hf_put_words_of(
        const uint64_t *restrict values, size_t groups, uint64_t base, uint8_t *restrict target, const unsigned width
    ) {
        for (; groups; groups--, values += 8, target += width) {
            uint64_t gathered = 0;
            _Pragma("GCC unroll 8")
            for (unsigned number = 0; number < 8; number++) {
                const unsigned place = number * width, shift = place & 63;
                uint64_t word = values[number] - base;
                gathered |= word << shift;
                if (shift + width >= 64) {
                    hf_store_8(target + (place >> 6) * 8, gathered);
                    gathered = shift + width > 64 ? word >> ((64 - shift) & 63) : 0;
                }
            }
            if (width & 7) hf_store_8(target + (width & ~7u), gathered);
        }
    }

    /* Take words, and add the base to each. */
    HF_UNROLLED hf_take_words_of(
        const uint8_t *restrict source, size_t groups, uint64_t base, uint64_t *restrict values, const unsigned width
    ) {
        const uint64_t mask = ~UINT64_C(0) >> (64 - width);
        for (; groups; groups--, values += 8, source += width) {
            const uint64_t all = hf_load_8(source);
            _Pragma("GCC unroll 8")
            for (unsigned number = 0; number < 8; number++) {
                const unsigned place = number * width, shift = place & 7;
                uint64_t word = width <= 8 ? all >> (place & 63) : hf_load_8(source + (place >> 3)) >> shift;
                if (shift + width > 64) word |= (uint64_t)source[(place >> 3) + 8] << ((64 - shift) & 63);
                values[number] = base + (word & mask);
            }
        }
    }

    /* The same for words of up to eight bits and values of one byte: eight at once, moved together and apart by halves. The base
       is in each byte of `bases`. */
    #define HF_LANES(bits, lane) ((~UINT64_C(0) >> (64 - (bits))) * (~UINT64_C(0) / (~UINT64_C(0) >> (64 - (lane)))))
    HF_UNROLLED hf_put_bytes_of(
        const uint8_t *restrict values, size_t groups, uint64_t bases, uint8_t *restrict target, const unsigned width
    ) {
        for (; groups; groups--, values += 8, target += width) {
            uint64_t word = hf_load_8(values) - bases;
            word = (word & HF_LANES(width, 16)) | ((word >> (8 - width)) & (HF_LANES(width, 16) << width));
            word = (word & HF_LANES(2 * width, 32)) | ((word >> (16 - 2 * width)) & (HF_LANES(2 * width, 32) << 2 * width));
            word = (word & HF_LANES(4 * width, 64)) | ((word >> (32 - 4 * width)) & (HF_LANES(4 * width, 64) << 4 * width));
            hf_store_8(target, word);
        }
    }
    HF_UNROLLED hf_take_bytes_of(
        const uint8_t *restrict source, size_t groups, uint64_t bases, uint8_t *restrict values, const unsigned width
    ) {
        for (; groups; groups--, values += 8, source += width) {
            uint64_t word = hf_load_8(source);
            word = (word & HF_LANES(4 * width, 64)) | ((word << (32 - 4 * width)) & (HF_LANES(4 * width, 64) << 32));
            word = (word & HF_LANES(2 * width, 32)) | ((word << (16 - 2 * width)) & (HF_LANES(2 * width, 32) << 16));
            word = (word & HF_LANES(width, 16)) | ((word << (8 - width)) & (HF_LANES(width, 16) << 8));
            hf_store_8(values, word + bases);
        }
    }

    #define HF_TO_8(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)
    #define HF_TO_64(DO) HF_TO_8(DO) \\
        DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24) \\
        DO(25) DO(26) DO(27) DO(28) DO(29) DO(30) DO(31) DO(32) DO(33) DO(34) DO(35) DO(36) DO(37) DO(38) DO(39) DO(40) \\
        DO(41) DO(42) DO(43) DO(44) DO(45) DO(46) DO(47) DO(48) DO(49) DO(50) DO(51) DO(52) DO(53) DO(54) DO(55) DO(56) \\
        DO(57) DO(58) DO(59) DO(60) DO(61) DO(62) DO(63) DO(64)

    #define HF_EACH_WIDTH(name, from_type, to_type, WIDTHS) \\
        static void name(const from_type *from, size_t groups, uint64_t base, to_type *to, unsigned width) { \\
            switch (width) { WIDTHS(HF_CASE) } \\
        }
    #define HF_CASE(number) case number: hf_put_words_of(from, groups, base, to, number); break;
    HF_EACH_WIDTH(hf_put_words, uint64_t, uint8_t, HF_TO_64)
    #undef HF_CASE
    #define HF_CASE(number) case number: hf_take_words_of(from, groups, base, to, number); break;
    HF_EACH_WIDTH(hf_take_words, uint8_t, uint64_t, HF_TO_64)
    #undef HF_CASE
    #define HF_CASE(number) case number: hf_put_bytes_of(from, groups, base, to, number); break;
    HF_EACH_WIDTH(hf_put_bytes, uint8_t, uint8_t, HF_TO_8)
    #undef HF_CASE
    #define HF_CASE(number) case number: hf_take_bytes_of(from, groups, base, to, number); break;
    HF_EACH_WIDTH(hf_take_bytes, uint8_t, uint8_t, HF_TO_8)
    #undef HF_CASE
    """
    void hf_put_words(const uint64_t *values, size_t groups, uint64_t base, uint8_t *target, unsigned int width)
    void hf_take_words(cbytes source, size_t groups, uint64_t base, uint64_t *values, unsigned int width)
    void hf_put_bytes(cbytes values, size_t groups, uint64_t bases, uint8_t *target, unsigned int width)
    void hf_take_bytes(cbytes source, size_t groups, uint64_t bases, uint8_t *values, unsigned int width)
