//! Stable numbers for names.

/// A number for a list of words: the same on every machine and in every version, spread evenly, not secret. FNV-1a over
/// the words, each closed by a zero byte, with the finaliser of MurmurHash3 so that similar names end up far apart.
pub fn spread(words: &[&str]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    let mut hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interfaces and addresses of running fleets are named by it: it must never change.
    #[test]
    fn it_is_the_same_for_ever_and_knows_where_words_end() {
        assert_eq!(spread(&["bridge", "shop", "lan"]), 0x106c_d581_f1e0_f794);
        assert_ne!(spread(&["ab", "c"]), spread(&["a", "bc"]));
    }
}
