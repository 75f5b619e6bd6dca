//! The part of CBOR (RFC 8949) that is needed to name CloudWatch's calls and to refuse them.

const TEXT: u8 = 3 << 5;
const LIST: u8 = 4 << 5;
/// The head of a list of indefinite length.
const OPEN_LIST: u8 = 0x9f;

/// The text values of `key`: a single one, or the items of a list.
pub(super) fn texts_under(body: &[u8], key: &str) -> Vec<String> {
    let key = text(key);
    let after = body
        .windows(key.len())
        .position(|window| window == key)
        .map(|at| &body[at + key.len()..]);
    let Some(mut rest) = after else {
        return Vec::new();
    };
    let mut most = 1;
    if rest.first() == Some(&OPEN_LIST) {
        (most, rest) = (usize::MAX, &rest[1..]);
    } else if let Some((length, after)) = head(rest, LIST) {
        (most, rest) = (length, after);
    }
    let mut texts = Vec::new();
    while texts.len() < most
        && let Some((length, after)) = head(rest, TEXT)
        && let Some((text, after)) = after.split_at_checked(length)
    {
        texts.push(String::from_utf8_lossy(text).into_owned());
        rest = after;
    }
    texts
}

/// Encodes a map of text values.
pub(super) fn map(members: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = with_head(5 << 5, members.len());
    for (key, value) in members {
        bytes.extend(text(key));
        bytes.extend(text(value));
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = with_head(TEXT, text.len());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn with_head(major: u8, length: usize) -> Vec<u8> {
    match u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes() {
        [0, length] if length < 0x18 => vec![major | length],
        [0, length] => vec![major | 0x18, length],
        [high, low] => vec![major | 0x19, high, low],
    }
}

/// The length of the first item if it has this major type, and the bytes after its head.
fn head(bytes: &[u8], major: u8) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first & 0xe0 != major {
        return None;
    }
    match first & 0x1f {
        length @ 0..0x18 => Some((usize::from(length), rest)),
        0x18 => rest
            .split_first()
            .map(|(length, rest)| (usize::from(*length), rest)),
        0x19 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            Some((usize::from(u16::from_be_bytes(*length)), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_under_their_keys() {
        let long = "x".repeat(300);
        let body = map(&[("AlarmName", "errors"), ("Reason", &long)]);
        assert_eq!(texts_under(&body, "AlarmName"), ["errors"]);
        assert_eq!(texts_under(&body, "Reason"), [long.as_str()]);
        assert!(texts_under(&body, "AlarmNames").is_empty());
        assert!(texts_under(&body[..12], "AlarmName").is_empty());

        let names = [text("a"), text("b")].concat();
        let closed = [text("AlarmNames"), vec![LIST | 2], names.clone(), text("c")].concat();
        let open = [text("AlarmNames"), vec![OPEN_LIST], names, vec![0xff]].concat();
        for body in [closed, open] {
            assert_eq!(texts_under(&body, "AlarmNames"), ["a", "b"]);
        }
    }
}
