//! Numbers with their noun, in the singular or the plural. PURE.

use std::fmt::Display;

/// `1 node`, `2 nodes`, `0 nodes`: the noun is given in the singular and takes an `s`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    let ending = if n == N::from(1) { "" } else { "s" };
    format!("{n} {noun}{ending}")
}

/// What `n` things do: the first word of one thing, the second of none or several.
pub fn verb<'a, N: PartialEq + From<u8>>(n: N, of_one: &'a str, of_several: &'a str) -> &'a str {
    if n == N::from(1) { of_one } else { of_several }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular_and_none_or_several_are_plural() {
        let said =
            [0_u64, 1, 2].map(|n| format!("{} {}", counted(n, "node"), verb(n, "is", "are")));
        assert_eq!(said, ["0 nodes are", "1 node is", "2 nodes are"]);
    }
}
