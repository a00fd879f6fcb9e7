//! A number with its noun, as people read it.

use std::fmt::Display;

/// `1 rule`, `2 rules`: the singular and the plural of the noun are both given.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    let noun = if number == N::from(1) { one } else { many };
    format!("{number} {noun}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn only_one_is_singular() {
        let said = [0_u64, 1, 2].map(|number| counted(number, "address", "addresses"));
        assert_eq!(said, ["0 addresses", "1 address", "2 addresses"]);
    }
}
