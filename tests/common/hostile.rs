//! Fleet files that are meant to hurt whoever reads them, in sizes that would.

/// What each is, and the text: about a megabyte.
pub fn hostile_texts() -> Vec<(&'static str, String)> {
    let megabyte = |part: &str| part.repeat((1 << 20) / part.len());
    vec![
        ("nested slashdashes", megabyte("/-{")),
        ("slashdashes of nodes", megabyte("a /-{")),
        ("open braces", "{".repeat(100_000)),
        ("closing parentheses", format!("a {}", ") ".repeat(500_000))),
        ("equals signs", format!("a {}", "= ".repeat(500_000))),
        ("strings in a row", format!("a {}", "\"x\"".repeat(300_000))),
        ("open nodes", megabyte("a {\n")),
        ("quotes", megabyte("\"")),
        ("open comments", megabyte("/*")),
        ("random bytes", random()),
    ]
}

/// The same ASCII characters every time, from a linear congruential generator (Knuth's MMIX constants).
fn random() -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from((state >> 57) as u8)
    };
    (0..1 << 20).map(|_| next()).collect()
}
