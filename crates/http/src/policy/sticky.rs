//! A client stays with one task: its cookie names the task, with a code only this installation can make. A task that
//! drains or is gone is not followed; the next answer names another one. Tests: `tests.rs`, and `tests/it/policy.rs` of
//! the edge.

use havre_core::route::settings::Sticky;

use super::sign;

/// What a route needs for it.
#[derive(Debug)]
pub(super) struct Stickiness {
    pub(super) settings: Sticky,
    /// Known to control and the edges only; differs for each route.
    key: [u8; 32],
}

impl Stickiness {
    pub(super) fn new(settings: Sticky, secret: &str, policy: &str) -> Self {
        Self { settings, key: sign::code(secret.as_bytes(), &[b"sticky", policy.as_bytes()]) }
    }

    /// The task a `Cookie` header names, if we said so.
    pub(super) fn task<'c>(&self, header: &'c [u8]) -> Option<&'c str> {
        let value = cookie(header, self.settings.cookie.as_str())?;
        let (task, code) = value.rsplit_once('.')?;
        let is_ours = task.len() <= 32 && sign::is_same(code.as_bytes(), self.code(task).as_bytes());
        is_ours.then_some(task)
    }

    /// The `Set-Cookie` value that binds a client to a task.
    pub(super) fn set_cookie(&self, task: &str, is_tls: bool) -> String {
        let name = &self.settings.cookie;
        let mut text = format!("{name}={task}.{}; Path=/; HttpOnly; SameSite=Lax", self.code(task));
        if let Some(age) = self.settings.max_age {
            text.push_str(&format!("; Max-Age={}", age.as_millis() / 1000));
        }
        if is_tls {
            text.push_str("; Secure");
        }
        text
    }

    fn code(&self, task: &str) -> String {
        sign::short_hex(&sign::code(&self.key, &[task.as_bytes()]))
    }
}

/// The value of a cookie in a `Cookie` header.
pub(super) fn cookie<'c>(header: &'c [u8], name: &str) -> Option<&'c str> {
    let text = std::str::from_utf8(header).ok()?;
    text.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky(secret: &str) -> Stickiness {
        let settings = Sticky { cookie: "havre_task".parse().unwrap(), max_age: None };
        Stickiness::new(settings, secret, "s1")
    }

    #[test]
    fn only_our_own_cookie_is_followed() {
        let set = sticky("secret").set_cookie("t12", true);
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{set}");
        let sent = format!("a=b; {}; c=d", set.split(';').next().unwrap());
        assert_eq!(sticky("secret").task(sent.as_bytes()), Some("t12"));
        assert_eq!(sticky("other").task(sent.as_bytes()), None);
        assert_eq!(sticky("secret").task(sent.replace("t12", "t13").as_bytes()), None);
        for forged in ["havre_task=t12.", "havre_task=t12", "havre_task=", "xhavre_task=t12.00", "\u{ff}"] {
            assert_eq!(sticky("secret").task(forged.as_bytes()), None, "{forged}");
        }
    }
}
