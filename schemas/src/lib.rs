//! What a Flowtape tape is: tables, columns, versions, encoding, decoding, validation.
