//! What a document may ask of the parser. The numbers are far above any fleet and far below what hurts.

/// Bytes of one file. Ten thousand guests written out are 10 MB.
pub const MAX_BYTES: usize = 32 << 20;

/// Blocks inside blocks. The parser recurses once per level: about 5,000 overflow an 8 MiB stack, threads have 2 MiB.
pub const MAX_DEPTH: usize = 64;

/// Slashdashes inside slashdashed blocks. The parser tries both readings of each, so that every level doubles its time.
pub const MAX_SLASHDASH: usize = 4;

/// Digits of one number: what a signed 128-bit integer holds in decimal.
pub const MAX_DIGITS: usize = 38;

/// Syntax errors collected from one file. A file that is not KDL at all has one at every word.
pub const MAX_ERRORS: usize = 200;
