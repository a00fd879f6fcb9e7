//! Table `clock`: samples of the node's clocks, to align nodes and to notice steps.

use crate::table::table;
use crate::time::Time;

table! {
    /// Samples of both clocks of a node, taken together. The first row fixes the offset of every time in the recording;
    /// later rows never rewrite a time, they only show how the wall clock moved.
    pub struct ClockRow in Node "clock" {
        /// `CLOCK_BOOTTIME` in nanoseconds since the node started.
        pub boot_nanos: u64,
        /// `CLOCK_REALTIME` at the same moment.
        pub wall_time: Time,
    }
}
