//! `authorized_keys`: our keys live in one marked block, everything else in the file is somebody else's.

/// First line of our block.
const BEGIN: &[u8] = b"# >>> regatta: managed keys, edits between these lines are lost >>>";

/// Last line of our block.
const END: &[u8] = b"# <<< regatta <<<";

/// Puts our keys into a file: the block stays where it was (at the end when there was none), keys of ours that are no
/// longer wanted go with the old block, all other lines keep their order, and CRLF becomes LF.
///
/// Only a whole block is ever dropped: a marker without its counterpart goes alone, the lines around it stay.
pub fn authorized_keys(current: &[u8], keys: &[String]) -> Vec<u8> {
    let lines: Vec<&[u8]> = lines(current).collect();
    let (kept, place) = without_blocks(&lines);
    let mut merged = Vec::with_capacity(current.len() + 256);
    let put = |merged: &mut Vec<u8>, line: &[u8]| {
        merged.extend_from_slice(line);
        merged.push(b'\n');
    };
    kept[..place].iter().for_each(|line| put(&mut merged, line));
    let block = block(keys);
    if !block.is_empty() {
        put(&mut merged, BEGIN);
        block.iter().for_each(|line| put(&mut merged, line.as_bytes()));
        put(&mut merged, END);
    }
    kept[place..].iter().for_each(|line| put(&mut merged, line));
    merged
}

/// The lines without their endings; a missing last newline makes no difference.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends_open = !text.is_empty() && !text.ends_with(b"\n");
    let count = text.iter().filter(|b| **b == b'\n').count() + usize::from(ends_open);
    text.split(|b| *b == b'\n').take(count).map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Foreign lines, and the index among them at which our (first) block was.
fn without_blocks<'a>(lines: &[&'a [u8]]) -> (Vec<&'a [u8]>, usize) {
    let mut kept = Vec::with_capacity(lines.len());
    let mut place = None;
    let mut rest = lines;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == BEGIN {
            let next_marker = tail.iter().position(|line| *line == BEGIN || *line == END);
            if let Some(end) = next_marker.filter(|at| tail[*at] == END) {
                place.get_or_insert(kept.len());
                rest = &tail[end + 1..];
            }
        } else if *first != END {
            kept.push(*first);
        }
    }
    let place = place.unwrap_or(kept.len());
    (kept, place)
}

/// The keys as lines: each once, without blank lines and comments.
fn block(keys: &[String]) -> Vec<&str> {
    let mut block: Vec<&str> = Vec::with_capacity(keys.len());
    for line in keys.iter().flat_map(|key| key.split(['\n', '\r'])).map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') && !block.contains(&line) {
            block.push(line);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(current: &str, keys: &[&str]) -> String {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        String::from_utf8(authorized_keys(current.as_bytes(), &keys)).unwrap()
    }

    fn ours(keys: &str) -> String {
        format!("{}\n{keys}{}\n", std::str::from_utf8(BEGIN).unwrap(), std::str::from_utf8(END).unwrap())
    }

    /// LESSON 16: a rotated key goes, foreign lines keep their order, CRLF becomes LF.
    #[test]
    fn a_rotated_key_is_replaced_where_it_was_and_foreign_lines_stay() {
        let before = format!("# mine\r\nssh-rsa A a\r\n{}\nssh-rsa B b", ours("ssh-ed25519 OLD me\n"));
        let after = format!("# mine\nssh-rsa A a\n{}\nssh-rsa B b\n", ours("ssh-ed25519 NEW me\n"));
        assert_eq!(merged(&before, &["ssh-ed25519 NEW me\n"]), after);
    }

    #[test]
    fn the_block_comes_last_in_a_foreign_file_and_goes_with_its_last_key() {
        let with = merged("ssh-rsa A a\n", &["ssh-ed25519 K me", " ssh-ed25519 K me ", ""]);
        assert_eq!(with, format!("ssh-rsa A a\n{}", ours("ssh-ed25519 K me\n")));
        assert_eq!(merged(&with, &[]), "ssh-rsa A a\n");
        assert_eq!(merged("", &[]), "");
    }

    #[test]
    fn a_damaged_block_costs_no_foreign_line() {
        let begin = std::str::from_utf8(BEGIN).unwrap();
        let end = std::str::from_utf8(END).unwrap();
        assert_eq!(merged(&format!("{begin}\nssh-rsa A a\n"), &[]), "ssh-rsa A a\n");
        assert_eq!(merged(&format!("ssh-rsa A a\n{end}\n"), &[]), "ssh-rsa A a\n");
        let twice = format!("{begin}\nssh-rsa A a\n{}x\n{}", ours("old\n"), ours("older\n"));
        assert_eq!(merged(&twice, &["new"]), format!("ssh-rsa A a\n{}x\n", ours("new\n")));
    }

    #[test]
    fn a_key_cannot_bring_a_marker_or_a_second_line_of_another_kind() {
        let end = std::str::from_utf8(END).unwrap();
        assert_eq!(merged("", &[&format!("{end}\nssh-rsa A a")]), ours("ssh-rsa A a\n"));
    }

    proptest! {
        #[test]
        fn merging_is_idempotent_and_keeps_every_foreign_line(
            picks in prop::collection::vec(0usize..7, 0..20),
            keys in prop::collection::vec("ssh-ed25519 [A-Z]{1,3}", 0..4),
        ) {
            let pool: [&[u8]; 7] = [BEGIN, END, b"ssh-rsa A a\n", b"# c\r\n", b"\n", b"\xff\n", b"no newline"];
            let current: Vec<u8> = picks.iter().flat_map(|i| {
                let line = pool[*i];
                if *i < 2 { [line, b"\n"].concat() } else { line.to_vec() }
            }).collect();
            let once = authorized_keys(&current, &keys);
            prop_assert_eq!(&authorized_keys(&once, &keys), &once);
            let (foreign, _) = without_blocks(&lines(&current).collect::<Vec<_>>());
            prop_assert_eq!(authorized_keys(&once, &[]), foreign.iter().flat_map(|l| [l, &b"\n"[..]].concat()).collect::<Vec<u8>>());
        }
    }
}
