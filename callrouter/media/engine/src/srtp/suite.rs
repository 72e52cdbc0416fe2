//! The crypto suites of RFC 4568 §6.2 and RFC 7714 §14.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    AesCm80,
    AesCm32,
    Gcm128,
    Gcm256,
}

impl Suite {
    /// By its name in `a=crypto`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "AES_CM_128_HMAC_SHA1_80" => Some(Self::AesCm80),
            "AES_CM_128_HMAC_SHA1_32" => Some(Self::AesCm32),
            "AEAD_AES_128_GCM" => Some(Self::Gcm128),
            "AEAD_AES_256_GCM" => Some(Self::Gcm256),
            _ => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Gcm128 => "AEAD_AES_128_GCM",
            Self::Gcm256 => "AEAD_AES_256_GCM",
        }
    }

    pub const fn key_length(self) -> usize {
        match self {
            Self::AesCm80 | Self::AesCm32 | Self::Gcm128 => 16,
            Self::Gcm256 => 32,
        }
    }

    pub const fn salt_length(self) -> usize {
        match self {
            Self::AesCm80 | Self::AesCm32 => 14,
            Self::Gcm128 | Self::Gcm256 => 12,
        }
    }

    /// Octets that protection adds to an RTP packet.
    pub const fn rtp_tag(self) -> usize {
        match self {
            Self::AesCm80 => 10,
            Self::AesCm32 => 4,
            Self::Gcm128 | Self::Gcm256 => 16,
        }
    }

    /// The same for RTCP, whose tag is never the short one (RFC 4568 §6.2.2).
    pub const fn rtcp_tag(self) -> usize {
        match self {
            Self::AesCm80 | Self::AesCm32 => 10,
            Self::Gcm128 | Self::Gcm256 => 16,
        }
    }
}
