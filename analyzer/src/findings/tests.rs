//! The catalogue and its pages agree.

use super::{CATALOG, Code};

#[test]
fn the_catalogue_is_in_the_order_of_the_codes() {
    for entry in CATALOG {
        assert_eq!(entry.code.entry().number, entry.number);
        assert_eq!(Code::from_number(entry.number), Some(entry.code));
    }
    assert!(CATALOG.is_sorted_by_key(|entry| entry.number));
}

#[test]
fn every_page_names_its_code_and_says_what_to_do() {
    for entry in CATALOG {
        assert!(
            entry.page.starts_with(&format!("# {}: {}\n", entry.number, entry.name)),
            "{}",
            entry.number
        );
        let (meaning, remedy) = entry.page.split_once("\n## What to do\n").expect(entry.number);
        assert!(
            meaning.len() > 150 && remedy.len() > 30,
            "{} says too little",
            entry.number
        );
    }
}
