//! Table `names`: which names stood for which addresses, as DNS answers said.

use crate::address::Address;
use crate::node::Hook;
use crate::table::table;
use crate::time::Time;

table! {
    /// Addresses that DNS answers gave for names. Each row is of one name, one address and one client.
    pub struct NameRow in Node "names" {
        /// The name that was asked for, in lower case, without a final dot.
        pub name: String,
        /// An address of the answer, also where aliases led to it.
        pub address: Address,
        /// Address of who asked; null where it is not known.
        pub client_ip: Option<Address>,
        /// The first such answer.
        pub first_seen: Time,
        /// The last such answer.
        pub last_seen: Time,
        /// The longest time that the answers may be kept, in seconds; null where it is not known.
        pub ttl_seconds: Option<u32>,
        /// How many answers; 0 where a source names the address and shows no answer.
        pub count: u64,
        /// Which hook saw them.
        pub hook: Hook,
    }
}
