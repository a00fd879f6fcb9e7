//! Table `quarantine`: what of other tools' files could not be used.

use crate::table::table;
use crate::value::words;

words! {
    /// Why a record was not used.
    pub enum QuarantineReason {
        /// It ends before it is complete, as the last line of a file that was still being written.
        CutOff = "cut-off",
        /// It is not written as its format says.
        Malformed = "malformed",
        /// It is text between the records, such as messages of the tool that printed them.
        OtherText = "other-text",
        /// It is no text.
        NotText = "not-text",
        /// It is of a kind that the importer does not know.
        UnknownKind = "unknown-kind",
        /// It lacks something without which it says nothing.
        Incomplete = "incomplete",
        /// It is longer than any record of its format.
        TooLong = "too-long",
        /// There are more names, nodes or rows than a recording has.
        TooMany = "too-many",
        /// The file is compressed, and unpacks to many times what its content could be; the rest of it was not read.
        Expands = "expands",
    }
}

table! {
    /// Records of other tools' files that could not be used, by file and reason. Their content is not kept: it may be anything.
    pub struct QuarantineRow in Import "quarantine" {
        /// Name of the file, without its directories.
        pub file: String,
        /// Format that it was read as.
        pub format: String,
        /// Why they were not used.
        pub reason: QuarantineReason,
        /// What of them, in one sentence without final full stop.
        pub detail: String,
        /// How many.
        pub count: u64,
        /// Number of the first line or packet, from 1.
        pub first_position: u64,
        /// Number of the last line or packet.
        pub last_position: u64,
    }
}
