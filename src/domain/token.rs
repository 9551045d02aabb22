//! The ids handed to callers. A decision id is authenticated and carries what is needed to fold its outcome even when
//! a crash lost the record of the decision itself; an outcome id has the same form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::call::{Arm, CallNo, CallTraits, Selection};
use super::names::NameId;
use super::outcome::DecisionRef;
use super::rollout::Assigned;
use super::strata::Stratum;
use super::time::UnixMillis;

/// Key that authenticates ids; drawn once for a data directory.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A decision: `d_…`.
    Decision,
    /// An outcome: `o_…`.
    Outcome,
    /// A hold of a gate: `h_…`. Its record is always synced before the id is handed out.
    Hold,
}

impl TokenKind {
    /// What its ids begin with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Decision => "d_",
            Self::Outcome => "o_",
            Self::Hold => "h_",
        }
    }

    /// Whether `text` looks like such an id, whoever made it.
    #[must_use]
    pub fn has_form(self, text: &str) -> bool {
        let body = text.strip_prefix(self.prefix()).and_then(|body| URL_SAFE_NO_PAD.decode(body).ok());
        body.is_some_and(|bytes| {
            bytes.first().is_some_and(|first| length(*first) > 0 && bytes.len() == length(*first) + MAC)
        })
    }
}

const MAC: usize = 10;
/// Of no stratum.
const PLAIN: u8 = 1;
/// With the stratum at its end.
const STRATIFIED: u8 = 2;
const LONGEST: usize = length(STRATIFIED);

/// Bytes before the MAC of an id whose first byte is `version`; 0: there is no such version.
const fn length(version: u8) -> usize {
    match version {
        PLAIN => 29,
        STRATIFIED => 33,
        _ => 0,
    }
}

impl TokenKey {
    /// A key of 256 random bits.
    #[must_use]
    pub fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// The id of a decision or outcome.
    #[must_use]
    pub fn seal(&self, kind: TokenKind, of: &DecisionRef) -> String {
        let mut bytes = [0_u8; LONGEST + MAC];
        let stratum = of.traits.stratum;
        bytes[0] = if stratum == Stratum::NONE { PLAIN } else { STRATIFIED };
        let body = length(bytes[0]);
        bytes[1..9].copy_from_slice(&of.number.0.to_be_bytes());
        bytes[9..15].copy_from_slice(&of.at.0.to_be_bytes()[2..]);
        bytes[15..19].copy_from_slice(&of.task.0.to_be_bytes());
        bytes[19..23].copy_from_slice(&of.candidate.0.to_be_bytes());
        bytes[23..27].copy_from_slice(&of.step.0.to_be_bytes());
        bytes[27] = (of.traits.arm as u8) << 4 | of.traits.selection as u8;
        bytes[28] = u8::from(of.traits.may_teach)
            | u8::from(of.traits.quality_reward) << 1
            | u8::from(of.traits.learns_from_goal) << 2
            | (of.traits.assigned as u8) << 3;
        bytes[29..33].copy_from_slice(&stratum.0.to_be_bytes());
        let mac = self.mac(kind, &bytes[..body]);
        bytes[body..body + MAC].copy_from_slice(&mac);
        let mut text = String::with_capacity(2 + 58);
        text.push_str(kind.prefix());
        URL_SAFE_NO_PAD.encode_string(&bytes[..body + MAC], &mut text);
        text
    }

    /// Reads an id back; `None` when it is not one of ours.
    #[must_use]
    pub fn open(&self, kind: TokenKind, text: &str) -> Option<DecisionRef> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(kind.prefix())?).ok()?;
        let body = length(*bytes.first()?);
        if body == 0 || bytes.len() != body + MAC || !self.authentic(kind, &bytes) {
            return None;
        }
        let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let wide =
            |from: usize, length: usize| bytes[from..from + length].iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        Some(DecisionRef {
            number: CallNo(wide(1, 8)),
            at: UnixMillis(wide(9, 6) as i64),
            task: NameId(number(15)),
            candidate: NameId(number(19)),
            step: NameId(number(23)),
            traits: CallTraits {
                arm: Arm::from_number(bytes[27] >> 4)?,
                selection: Selection::from_number(bytes[27] & 15)?,
                may_teach: bytes[28] & 1 != 0,
                quality_reward: bytes[28] & 2 != 0,
                learns_from_goal: bytes[28] & 4 != 0,
                assigned: Assigned::from_number(bytes[28] >> 3 & 3)?,
                stratum: if bytes[0] == STRATIFIED { Stratum(number(29)) } else { Stratum::NONE },
            },
        })
    }

    /// Whether the last bytes are the MAC of those before.
    fn authentic(&self, kind: TokenKind, bytes: &[u8]) -> bool {
        let (body, sealed) = bytes.split_at(bytes.len() - MAC);
        let mac = self.mac(kind, body);
        let differing = mac.iter().zip(sealed).fold(0, |acc, (a, b)| acc | (a ^ b));
        differing == 0
    }

    fn mac(&self, kind: TokenKind, body: &[u8]) -> [u8; MAC] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(kind.prefix().as_bytes()).update(body);
        let mut mac = [0; MAC];
        mac.copy_from_slice(&hasher.finalize().as_bytes()[..MAC]);
        mac
    }

    /// A keyed digest of a text that must not be kept in clear.
    #[must_use]
    pub fn conceal(&self, text: &str) -> String {
        let digest = blake3::keyed_hash(&self.0, text.as_bytes());
        format!("h_{}", URL_SAFE_NO_PAD.encode(&digest.as_bytes()[..15]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> DecisionRef {
        DecisionRef {
            number: CallNo((3 << 40) + 17),
            at: UnixMillis(1_795_000_000_123),
            task: NameId(5),
            candidate: NameId(70_000),
            step: NameId(0),
            traits: CallTraits {
                arm: Arm::Pinned,
                selection: Selection::Constraint,
                may_teach: false,
                quality_reward: true,
                learns_from_goal: true,
                assigned: Assigned::ByDecision,
                stratum: Stratum::NONE,
            },
        }
    }

    #[test]
    fn an_id_comes_back_as_it_was_and_every_flipped_byte_is_refused() {
        refuses_forgeries(&reference(), 54);
        let mut of_stratum = reference();
        of_stratum.traits.stratum = Stratum(0xfedc_ba98);
        refuses_forgeries(&of_stratum, 60);
    }

    fn refuses_forgeries(reference: &DecisionRef, length: usize) {
        let key = TokenKey::new([7; 32]);
        let text = key.seal(TokenKind::Decision, reference);
        assert_eq!(text.len(), length);
        assert!(TokenKind::Decision.has_form(&text) && !TokenKind::Decision.has_form(&text[..length - 1]));
        assert_eq!(key.open(TokenKind::Decision, &text).as_ref(), Some(reference));
        assert_eq!(key.open(TokenKind::Outcome, &text.replace("d_", "o_")), None, "kinds do not mix");
        assert_eq!(key.open(TokenKind::Hold, &text.replace("d_", "h_")), None, "kinds do not mix");
        assert_eq!(key.open(TokenKind::Hold, &key.seal(TokenKind::Hold, reference)).as_ref(), Some(reference));
        assert_eq!(TokenKey::new([8; 32]).open(TokenKind::Decision, &text), None);
        for i in 2..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            assert_eq!(key.open(TokenKind::Decision, &forged), None, "byte {i}");
        }
    }
}
