//! The forms of single words.

use std::net::IpAddr;

use flowtape_schemas::node::{Counter, Hook, Loss, SocketFamily, SocketType};
use flowtape_schemas::value::Words as _;

use crate::model::{
    Cidr, ContainerPort, CustomKind, Labels, Name, Offset, PortRef, Probe, ProbeKind, ProbeRole, Protocol, Proxy,
    ServicePort, Span,
};

/// How one word is read, and what to say when it cannot be.
pub(super) struct Form<T> {
    /// What a reader expected, with an example.
    pub(super) expected: &'static str,
    /// Reads the word.
    pub(super) read: fn(&str) -> Option<T>,
}

/// Longest window: a day.
const LONGEST: i64 = 86_400;

pub(super) const LENGTH: Form<Offset> = Form {
    expected: "a length of the window between `1ms` and `24h`",
    read: |word| offset(word).filter(|length| *length >= Offset(1_000_000) && *length <= Offset::seconds(LONGEST)),
};
pub(super) const OFFSET: Form<Offset> = Form {
    expected: "a time since the start of the window such as `1500ms`, `20s` or `-1h`",
    read: offset,
};
pub(super) const OFFSETS: Form<Vec<Offset>> = Form {
    expected: "times since the start of the window such as `0s,20s`",
    read: |word| list(word, offset),
};
pub(super) const SPAN: Form<Span> = Form {
    expected: "a time such as `5s` or a range such as `1s..20s`",
    read: span,
};
pub(super) const SPANS: Form<Vec<Span>> = Form {
    expected: "ranges such as `5s..8s,15s..18s`",
    read: |word| list(word, span),
};
pub(super) const HOST: Form<String> = Form {
    expected: "a name of lower-case letters, digits, `-` and `.`",
    read: |word| subdomain(word).then(|| word.to_owned()),
};
pub(super) const HOSTS: Form<Vec<String>> = Form {
    expected: "names such as `n1,n2`",
    read: |word| list(word, HOST.read),
};
pub(super) const LABEL: Form<String> = Form {
    expected: "a name of lower-case letters, digits and `-`",
    read: |word| dns_label(word).then(|| word.to_owned()),
};
pub(super) const NAME: Form<Name> = Form {
    expected: "`NAMESPACE/NAME` in lower-case letters, digits, `-` and `.`, the name with at most 52 characters",
    read: name,
};
pub(super) const REPLICA: Form<(Name, u32)> = Form {
    expected: "`NAMESPACE/NAME/N`, the pod's place counted from 0",
    read: |word| {
        let (name_part, replica) = word.rsplit_once('/')?;
        Some((name(name_part)?, count(replica)?))
    },
};
pub(super) const LABELS: Form<Labels> = Form {
    expected: "labels such as `app=web,tier=frontend`",
    read: labels,
};
pub(super) const CUSTOM_KIND: Form<CustomKind> = Form {
    expected: "a kind with its API group, such as `Rollout.argoproj.io`",
    read: custom_kind,
};
pub(super) const OWNER: Form<(CustomKind, String)> = Form {
    expected: "an owner such as `Kafka.kafka.strimzi.io/events`",
    read: |word| {
        let (kind, name) = word.split_once('/')?;
        Some((custom_kind(kind)?, (HOST.read)(name)?))
    },
};
pub(super) const ADDRESS: Form<IpAddr> = Form {
    expected: "an IPv4 or IPv6 address",
    read: address,
};
pub(super) const ADDRESSES: Form<Vec<IpAddr>> = Form {
    expected: "addresses such as `10.96.0.20,fd00:10:96::20`",
    read: |word| list(word, address),
};
pub(super) const CIDR: Form<Cidr> = Form {
    expected: "an address range such as `10.244.1.0/24` with no bits beyond the prefix",
    read: cidr,
};
pub(super) const CIDRS: Form<Vec<Cidr>> = Form {
    expected: "address ranges such as `203.0.113.0/24,2001:db8::/32`",
    read: |word| list(word, cidr),
};
pub(super) const COUNT: Form<u32> = Form {
    expected: "a number up to 10000",
    read: count,
};
pub(super) const TALLY: Form<u64> = Form {
    expected: "a number",
    read: |word| digits(word)?.parse().ok(),
};
pub(super) const TIMES: Form<u32> = Form {
    expected: "a count such as `x12`, up to `x100000`",
    read: |word| {
        digits(word.strip_prefix('x')?)?
            .parse()
            .ok()
            .filter(|count| (1..=100_000).contains(count))
    },
};
pub(super) const CONTAINER_PORTS: Form<Vec<ContainerPort>> = Form {
    expected: "container ports such as `http:8080,dns:53/UDP,http:80@8080` (`[NAME:]PORT[@HOSTPORT][/PROTOCOL]`)",
    read: |word| list(word, container_port),
};
pub(super) const SERVICE_PORTS: Form<Vec<ServicePort>> = Form {
    expected: "Service ports such as `80->8080,dns:53/UDP,http:80:30080->http` \
               (`[NAME:]PORT[:NODEPORT][->TARGET][/PROTOCOL]`)",
    read: |word| list(word, service_port),
};
pub(super) const PROXY: Form<Proxy> = Form {
    expected: "the ports of a proxy such as `15001,15006`: for what leaves the pod, and for what comes in",
    read: |word| {
        let (outbound, inbound) = word.split_once(',')?;
        Some(Proxy {
            outbound: port(outbound)?,
            inbound: port(inbound)?,
            by: None,
        })
    },
};
pub(super) const PROBES: Form<Vec<Probe>> = Form {
    expected: "probes such as `readiness=http:8080,liveness=tcp:mysql`",
    read: |word| list(word, probe),
};
pub(super) const SOCKET: Form<(SocketFamily, SocketType, u16)> = Form {
    expected: "a kind of socket: `packet`, `raw`, `icmp` or `sctp`",
    read: |word| match word {
        // ETH_P_ALL, IPPROTO_ICMP and IPPROTO_SCTP (`include/uapi/linux/if_ether.h`, `in.h`).
        "packet" => Some((SocketFamily::Packet, SocketType::Raw, 3)),
        "raw" => Some((SocketFamily::Inet, SocketType::Raw, 1)),
        "icmp" => Some((SocketFamily::Inet, SocketType::Dgram, 1)),
        "sctp" => Some((SocketFamily::Inet, SocketType::Stream, 132)),
        _ => None,
    },
};
pub(super) const HOOK: Form<Hook> = Form {
    expected: "a hook of the table `stats` without its type, such as `inet_sock_set_state` or `connect4`",
    read: |word| {
        Hook::ALL
            .iter()
            .copied()
            .find(|hook| hook.word().rsplit('/').next() == Some(word))
    },
};
pub(super) const LOSS: Form<Counter> = Form {
    expected: "a loss that the table `stats` counts, such as `ring-full` or `edges-lost`",
    read: |word| {
        let mut lossy = Counter::ALL
            .iter()
            .copied()
            .filter(|counter| counter.loss() != Loss::Nothing);
        lossy.find(|counter| counter.word().replace('_', "-") == word)
    },
};

/// Reads parts between commas; there is at least one, and none is empty.
fn list<T>(word: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    word.split(',').map(read).collect()
}

/// Digits and nothing else: `u16::from_str` would take a sign.
fn digits(word: &str) -> Option<&str> {
    (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())).then_some(word)
}

fn count(word: &str) -> Option<u32> {
    digits(word)?.parse().ok().filter(|count| *count <= 10_000)
}

/// A port number that can be connected to.
pub(super) fn port(word: &str) -> Option<u16> {
    digits(word)?.parse().ok().filter(|port| *port != 0)
}

fn offset(word: &str) -> Option<Offset> {
    let (negative, rest) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    let unit = rest.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = rest.split_at(unit);
    let nanos: i64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    let value = digits(number)?.parse::<i64>().ok()?.checked_mul(nanos)?;
    // A year either way keeps every time far from the ends of the clock.
    (value <= 366 * 86_400_000_000_000).then_some(Offset(if negative { -value } else { value }))
}

fn span(word: &str) -> Option<Span> {
    let (first, last) = word.split_once("..").unwrap_or((word, word));
    let span = Span {
        first: offset(first)?,
        last: offset(last)?,
    };
    (span.first <= span.last).then_some(span)
}

/// RFC 1123 label: at most 63 characters.
fn dns_label(word: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !word.is_empty() && word.len() <= 63 && word.chars().all(inner) && !word.starts_with('-') && !word.ends_with('-')
}

/// A kind and the API group after it, which has a dot as all that are not Kubernetes' own have.
fn custom_kind(word: &str) -> Option<CustomKind> {
    let (kind, group) = word.split_once('.')?;
    let is_kind = kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.chars().all(|c| c.is_ascii_alphanumeric());
    (is_kind && kind.len() <= 63 && subdomain(group) && group.contains('.')).then(|| CustomKind {
        kind: kind.to_owned(),
        group: group.to_owned(),
    })
}

/// RFC 1123 subdomain.
fn subdomain(word: &str) -> bool {
    word.len() <= 253 && word.split('.').all(dns_label)
}

fn name(word: &str) -> Option<Name> {
    let (namespace, name) = word.split_once('/')?;
    // 52 characters, the limit of CronJobs, keep every name and label that is made from it legal.
    (dns_label(namespace) && subdomain(name) && name.len() <= 52).then(|| Name {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// Syntax of label keys and values, as the Kubernetes API checks it.
fn labels(word: &str) -> Option<Labels> {
    let mut labels = Labels::new();
    for part in word.split(',') {
        let (key, value) = part.split_once('=')?;
        let (prefix, short) = key
            .rsplit_once('/')
            .map_or((None, key), |(prefix, short)| (Some(prefix), short));
        let legal = prefix.is_none_or(subdomain) && !short.is_empty() && qualified(short) && qualified(value);
        if !legal || labels.insert(key.to_owned(), value.to_owned()).is_some() {
            return None;
        }
    }
    Some(labels)
}

/// A label value, or the part of a key after the slash: empty, or starting and ending with a letter or digit.
fn qualified(word: &str) -> bool {
    let ends =
        word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.ends_with(|c: char| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    word.is_empty() || (word.len() <= 63 && ends && word.chars().all(inner))
}

/// An address in canonical form: IPv4 is never written as v4-mapped IPv6, which the tape could not tell apart.
pub(super) fn address(word: &str) -> Option<IpAddr> {
    let address: IpAddr = word.parse().ok()?;
    (address.to_canonical() == address).then_some(address)
}

fn cidr(word: &str) -> Option<Cidr> {
    let (first, prefix) = word.split_once('/')?;
    let address = address(first)?;
    let prefix: u8 = digits(prefix)?.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let cidr = Cidr { address, prefix };
    let stray = match address {
        IpAddr::V4(base) => base.to_bits() & !u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0) != 0,
        IpAddr::V6(base) => base.to_bits() & !u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0) != 0,
    };
    (prefix <= longest && !stray).then_some(cidr)
}

pub(super) fn protocol(word: &str) -> Option<Protocol> {
    match word {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}

/// Cuts `/PROTOCOL` off; TCP where there is none, as in the Kubernetes API.
pub(super) fn with_protocol(word: &str) -> Option<(&str, Protocol)> {
    match word.split_once('/') {
        None => Some((word, Protocol::Tcp)),
        Some((rest, name)) => Some((rest, protocol(name)?)),
    }
}

/// IANA service name (RFC 6335): at most 15 characters, at least one letter.
fn port_name(word: &str) -> Option<String> {
    let legal = dns_label(word) && word.len() <= 15 && word.contains(|c: char| c.is_ascii_lowercase());
    legal.then(|| word.to_owned())
}

/// A port by number or name.
pub(super) fn port_ref(word: &str) -> Option<PortRef> {
    port(word)
        .map(PortRef::Number)
        .or_else(|| port_name(word).map(PortRef::Name))
}

fn container_port(word: &str) -> Option<ContainerPort> {
    let (rest, protocol) = with_protocol(word)?;
    let (rest, host_port) = match rest.split_once('@') {
        None => (rest, None),
        Some((rest, host)) => (rest, Some(port(host)?)),
    };
    let (name, number) = match rest.split_once(':') {
        None => (None, rest),
        Some((name, number)) => (Some(port_name(name)?), number),
    };
    Some(ContainerPort {
        name,
        port: port(number)?,
        protocol,
        host_port,
    })
}

fn service_port(word: &str) -> Option<ServicePort> {
    let (rest, protocol) = with_protocol(word)?;
    let (rest, target) = match rest.split_once("->") {
        None => (rest, None),
        Some((rest, target)) => (rest, Some(port_ref(target)?)),
    };
    let mut parts: Vec<&str> = rest.split(':').collect();
    let name = match parts.first() {
        Some(first) if port(first).is_none() => Some(port_name(parts.remove(0))?),
        _ => None,
    };
    let (number, node_port) = match parts.as_slice() {
        [number] => (port(number)?, None),
        [number, node_port] => (port(number)?, Some(port(node_port)?)),
        _ => return None,
    };
    Some(ServicePort {
        name,
        port: number,
        node_port,
        target: target.unwrap_or(PortRef::Number(number)),
        protocol,
    })
}

fn probe(word: &str) -> Option<Probe> {
    let (role, rest) = word.split_once('=')?;
    let (kind, port) = rest.split_once(':')?;
    Some(Probe {
        role: match role {
            "liveness" => ProbeRole::Liveness,
            "readiness" => ProbeRole::Readiness,
            "startup" => ProbeRole::Startup,
            _ => return None,
        },
        kind: match kind {
            "http" => ProbeKind::Http,
            "tcp" => ProbeKind::Tcp,
            "grpc" => ProbeKind::Grpc,
            _ => return None,
        },
        port: port_ref(port)?,
    })
}
