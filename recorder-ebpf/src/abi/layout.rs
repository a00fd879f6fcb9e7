//! Where the running kernel keeps what the programs read: byte offsets, found in its BTF by the recorder and written into
//! the programs before they are loaded.

macro_rules! layout {
    ( $( $(#[$meta:meta])* $field:ident, )* ) => {
        /// Offsets in bytes from the start of the struct a program holds a pointer to.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Layout {
            $( $(#[$meta])* pub $field: u32, )*
        }

        /// Number of offsets in a [`Layout`].
        pub const LAYOUT_LEN: usize = [$( stringify!($field), )*].len();

        impl Layout {
            /// What stands in the object until the recorder overwrites it.
            pub const ZERO: Self = Self { $( $field: 0, )* };

            /// The words as they stand in the programs' read-only data.
            #[must_use]
            pub const fn to_words(self) -> [u32; LAYOUT_LEN] {
                [$( self.$field, )*]
            }
        }
    };
}

layout! {
    /// `struct sock`: address family, `__sk_common.skc_family`, u16.
    family,
    /// `struct sock`: remote port, `__sk_common.skc_dport`, u16 in network order.
    remote_port,
    /// `struct sock`: local port, `__sk_common.skc_num`, u16 in host order; already 0 when a socket reaches `CLOSE`.
    local_port,
    /// `struct sock`: remote IPv4 address, `__sk_common.skc_daddr`.
    remote_v4,
    /// `struct sock`: local IPv4 address, `__sk_common.skc_rcv_saddr`.
    local_v4,
    /// `struct sock`: remote IPv6 address, `__sk_common.skc_v6_daddr`.
    remote_v6,
    /// `struct sock`: local IPv6 address, `__sk_common.skc_v6_rcv_saddr`.
    local_v6,
    /// `struct sock`: network namespace, `__sk_common.skc_net.net`, pointer to `struct net`.
    net,
    /// `struct net`: inode number, `ns.inum`, u32.
    net_inum,
    /// `struct sock`: version 2 control group, `sk_cgrp_data.cgroup`, pointer to `struct cgroup`.
    cgroup,
    /// `struct cgroup`: hierarchy, `root`, pointer to `struct cgroup_root`.
    cgroup_root,
    /// `struct cgroup_root`: number of the hierarchy, `hierarchy_id`, int; `0` is version 2.
    hierarchy_id,
    /// `struct cgroup`: directory, `kn`, pointer to `struct kernfs_node`.
    cgroup_kn,
    /// `struct kernfs_node`: inode number, `id`, u64.
    kn_id,
    /// `struct sock`: protocol, `sk_protocol`, u16.
    protocol,
    /// `struct sock`: pending error, `sk_err`, int.
    error,
    /// `struct sock`: accept queue limit, `sk_max_ack_backlog`, u32.
    backlog,
    /// `struct sock`: owner, `sk_socket`, pointer to `struct socket`; null until `accept()`.
    owner,
    /// `struct sock`: cookie, `__sk_common.skc_cookie.counter`, s64; `0` until somebody asks for it.
    cookie,
    /// `struct sock`: state, `__sk_common.skc_state`, u8.
    state,
    /// `struct sock`: the byte that holds the first bit of `sk_userlocks`, 4 bits that may begin inside it.
    user_locks,
    /// Bits of that byte below `sk_userlocks`.
    user_locks_shift,
    /// `struct inet_connection_sock`: protocol on top of TCP, `icsk_ulp_ops`, pointer; a subflow of MPTCP has one from the start.
    upper,
    /// `struct inet_sock`: source port, `inet_sport`, u16 in network order; survives `CLOSE`.
    source_port,
    /// `struct task_struct`: control groups, `cgroups`, pointer to `struct css_set`.
    task_cgroups,
    /// `struct css_set`: version 2 control group, `dfl_cgrp`, pointer to `struct cgroup`.
    set_cgroup,
    /// `struct task_struct`: namespaces, `nsproxy`, pointer to `struct nsproxy`.
    task_namespaces,
    /// `struct nsproxy`: network namespace, `net_ns`, pointer to `struct net`.
    namespaces_net,
    /// `struct task_struct`: lowest address of its stack, `stack`, pointer.
    task_stack,
    /// `struct task_struct`: its process in the initial pid namespace, `tgid`, int.
    task_process,
    /// `struct task_struct`: its name, `comm`, 16 bytes.
    task_name,
    /// `struct sock`: type, `sk_type`, u16.
    socket_type,
    /// `struct socket`: the half of its protocol, `sk`, pointer to `struct sock`.
    socket_sk,
    /// `struct packet_sock`: `EtherType`, `num`, u16 in network order; `0` where this kernel does not describe it.
    packet_protocol,
}

const _: () = assert!(size_of::<Layout>() == LAYOUT_LEN * 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_field_order() {
        let layout = Layout {
            family: 7,
            packet_protocol: 9,
            ..Layout::default()
        };
        let words = layout.to_words();
        assert_eq!((words[0], words[LAYOUT_LEN - 1]), (7, 9));
        assert_eq!(core::mem::offset_of!(Layout, packet_protocol), (LAYOUT_LEN - 1) * 4);
    }
}
