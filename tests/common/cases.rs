//! How often properties are tried.

use proptest::test_runner::Config;

/// Tries a property so many times, or as many as `PROPTEST_CASES` asks for. What fails is not kept beside the sources: it
/// becomes a test of its own.
pub(crate) fn cases(usual: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(usual);
    let max_global_rejects = cases.saturating_mul(4).max(1024);
    Config { cases, max_global_rejects, failure_persistence: None, ..Config::default() }
}
