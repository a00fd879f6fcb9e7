//! Listeners that a look at the open sockets finds: those that are older than the window, and those that nothing told of.

use std::collections::BTreeMap;

use flowtape_recorder_ebpf::abi::id::Protocol;
use flowtape_recorder_ebpf::abi::listen::ListenKey;
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::Hook;
use flowtape_schemas::time::Time;

use super::{Listeners, Live, row};

/// What a look found of one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Sockets.
    pub sockets: u64,
    /// Those among them that were there before the programs were attached.
    pub older: u64,
    /// Longest queue of connections; `None` for UDP.
    pub backlog: Option<u32>,
}

/// Every listener of a look.
pub type Found = BTreeMap<ListenKey, Waiting>;

impl Listeners {
    /// Takes what was there when the window began. What was counted since comes after it.
    pub fn begin(&mut self, found: &Found) {
        for (key, waiting) in found.iter().filter(|(_, waiting)| waiting.older > 0) {
            self.live.insert(*key, live(waiting.older, waiting, None));
        }
    }

    /// Says that a look began, before what was counted up to its end is taken.
    pub fn look_began(&mut self, at: Time) {
        self.looked_at = Some(self.looked_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Takes what a look found, after what was counted up to it; `before` is when the last look was taken, `None` for the first.
    ///
    /// What nothing told of began since the last look, as far as is known. That a socket of UDP ceased is told by a program of
    /// control groups; of one that only looks know of, and that is not found any more, nobody may have told.
    pub fn look(&mut self, found: &Found, at: Time, before: Option<Time>) {
        // What was found and ceased before the look was over is told already.
        for (key, waiting) in found.iter().filter(|(key, _)| !self.ceased.contains(key)) {
            self.live
                .entry(*key)
                .or_insert_with(|| live(waiting.sockets, waiting, before));
        }
        let is_gone = |key: &ListenKey, live: &Live| {
            key.protocol == Protocol::Udp.id() && live.hook == Hook::TaskFile && !found.contains_key(key)
        };
        for (key, live) in self.live.extract_if(.., |key, live| is_gone(key, live)) {
            self.ended.add(row(&key, &live, Some((at, Bound::Assumed))));
        }
    }
}

fn live(sockets: u64, waiting: &Waiting, from: Option<Time>) -> Live {
    Live {
        sockets,
        backlog: waiting.backlog,
        from,
        from_bound: Bound::Assumed,
        hook: Hook::TaskFile,
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Waiting};
    use crate::clock::Offset;
    use crate::listen::Listeners;
    use flowtape_recorder_ebpf::abi::id::HookId;
    use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
    use flowtape_schemas::cluster::Bound;
    use flowtape_schemas::node::{ClockRow, Hook, ListenRow};
    use flowtape_schemas::time::Time;

    const TCP: u8 = 6;
    const UDP: u8 = 17;

    fn listeners() -> Listeners {
        Listeners::new(Offset::of(&ClockRow {
            boot_nanos: 0,
            wall_time: Time(0),
        }))
    }

    fn key(protocol: u8) -> ListenKey {
        ListenKey {
            port: 80,
            protocol,
            ip_version: 6,
            ..ListenKey::default()
        }
    }

    fn found(protocol: u8, sockets: u64, older: u64) -> Found {
        let waiting = Waiting {
            sockets,
            older,
            backlog: (protocol == TCP).then_some(5),
        };
        [(key(protocol), waiting)].into()
    }

    fn change(opened: u32, closed: u32) -> ListenValue {
        ListenValue {
            first_ns: 3,
            last_ns: 4,
            opened,
            closed,
            backlog: 7,
            hook: HookId::InetSockSetState.id().into(),
        }
    }

    /// When it began, how that is known, and by which hook.
    fn shown(rows: &[ListenRow]) -> Vec<(Option<i64>, Bound, Hook)> {
        let shown = |row: &ListenRow| (row.valid_from.map(|time| time.0), row.from_bound, row.hook);
        rows.iter().map(shown).collect()
    }

    #[test]
    fn one_that_is_older_lives_until_its_last_socket_ceases() {
        let mut all = listeners();
        all.begin(&found(TCP, 2, 2));
        all.drained(&[(key(TCP), change(0, 1))]);
        all.look(&found(TCP, 2, 2), Time(2), None);
        assert_eq!(shown(&all.live()), [(None, Bound::Assumed, Hook::TaskFile)]);
        assert_eq!((all.live()[0].backlog, all.live()[0].valid_to), (Some(5), None));
        all.drained(&[(key(TCP), change(0, 1))]);
        let ended = all.take_ended();
        assert_eq!((ended[0].valid_from, ended[0].valid_to), (None, Some(Time(4))));
        assert_eq!(ended[0].to_bound, Bound::Observed);
        assert!(all.live().is_empty());
    }

    #[test]
    fn what_was_counted_is_not_found_again() {
        let mut all = listeners();
        all.begin(&found(TCP, 1, 0));
        all.drained(&[(key(TCP), change(1, 0))]);
        all.look(&found(TCP, 1, 0), Time(2), None);
        assert_eq!(shown(&all.live()), [(Some(3), Bound::Observed, Hook::SetState)]);
    }

    #[test]
    fn what_nothing_told_of_began_before_the_look_that_finds_it() {
        let mut all = listeners();
        all.begin(&found(TCP, 1, 0));
        all.drained(&[]);
        all.look(&found(TCP, 1, 0), Time(2), None);
        all.look(&found(UDP, 1, 0), Time(9), Some(Time(2)));
        let of_look = |from| (from, Bound::Assumed, Hook::TaskFile);
        assert_eq!(shown(&all.live()), [of_look(None), of_look(Some(2))]);
    }

    #[test]
    fn what_ceases_while_a_look_is_taken_is_not_found_again() {
        for (began, live) in [(3, 0), (4, 0), (5, 1)] {
            let mut all = listeners();
            all.begin(&found(UDP, 1, 1));
            all.look_began(Time(began));
            all.drained(&[(key(UDP), change(0, 1))]);
            all.look(&found(UDP, 1, 1), Time(began), None);
            assert_eq!((all.live().len(), all.take_ended().len()), (live, 1), "ceased at 4");
            all.drained(&[]);
            all.look(&found(UDP, 1, 1), Time(9), Some(Time(began)));
            assert_eq!(all.live().len(), 1, "a later look finds what it finds");
        }
    }

    #[test]
    fn a_look_ends_only_what_only_looks_know_of() {
        let mut all = listeners();
        all.begin(&found(UDP, 1, 1));
        all.begin(&found(TCP, 1, 1));
        all.look(&Found::new(), Time(9), Some(Time(2)));
        let ended = all.take_ended();
        assert_eq!(ended.len(), 1, "TCP tells when it ceases: {ended:?}");
        assert_eq!((ended[0].protocol, ended[0].valid_to), (UDP, Some(Time(9))));
        assert_eq!((ended[0].to_bound, ended[0].backlog), (Bound::Assumed, None));

        let mut all = listeners();
        all.drained(&[(key(UDP), change(1, 0))]);
        all.look(&Found::new(), Time(9), Some(Time(2)));
        assert_eq!(
            (all.live().len(), all.take_ended().len()),
            (1, 0),
            "its end would be told"
        );
    }
}
