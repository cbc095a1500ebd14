//! What control talks to outside of this machine and never reaches in tests: CDNs, forges, Docker Hub, repositories of backups.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use havre_backup::fake::FakeRepository;
use havre_backup::{Repository, RepositoryError};
use havre_core::backup::target::OpenTarget;
use havre_core::registry::Credentials;
use havre_core::secret::Secret;
use havre_core::site::purge::PurgeSpec;
use havre_decide::registry::limit::PullLimit;
use havre_forge::call::{Call, Method};
use havre_outward::CallError;
use havre_reconcile::forge::{ForgeAnswer, Forges};
use havre_reconcile::purge::{PurgeError, Purger};
use havre_reconcile::registry::{LimitError, PullLimits};
use havre_reconcile::repositories::Repositories;

/// Places of repositories: an empty one each, until somebody makes a repository there.
#[derive(Debug, Default)]
pub(crate) struct FakePlaces(pub(crate) Mutex<BTreeMap<String, FakeRepository>>);

impl FakePlaces {
    /// What lies at a place, for whoever has no password.
    pub(crate) fn at(&self, place: &str) -> FakeRepository {
        self.0.lock().unwrap().entry(place.to_owned()).or_default().clone()
    }
}

impl Repositories for FakePlaces {
    fn at(&self, target: &OpenTarget) -> Result<Arc<dyn Repository>, RepositoryError> {
        let password = target.password.expose_text().unwrap_or_default();
        let found = Self::at(self, &target.location.to_string());
        Ok(Arc::new(found.with_password(password)))
    }
}

/// A CDN: what it was told, and how often it fails before it listens.
#[derive(Debug, Default)]
pub(crate) struct FakeCdn {
    told: Mutex<Vec<String>>,
    tries: AtomicU32,
    failures: AtomicU32,
}

impl FakeCdn {
    pub(crate) fn fail(&self, times: u32) {
        self.failures.store(times, Ordering::SeqCst);
    }

    /// Every call it listened to: method and target.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// Every call, those that failed too.
    pub(crate) fn tries(&self) -> u32 {
        self.tries.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Purger for FakeCdn {
    async fn purge(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        let left = self.failures.load(Ordering::SeqCst);
        if left > 0 {
            self.failures.store(left - 1, Ordering::SeqCst);
            return Err(PurgeError::new("cdn.example: answered 503"));
        }
        self.told.lock().unwrap().push(format!("{} {}", spec.method.as_str(), spec.url.target_of(tag)));
        Ok(200)
    }
}

/// Forges: what they were told, and how they answer. They take everything unless a test says otherwise, and keep comments.
#[derive(Debug, Default)]
pub(crate) struct FakeForge {
    told: Mutex<Vec<ForgeCall>>,
    answers: Mutex<VecDeque<Result<ForgeAnswer, CallError>>>,
    comments: Mutex<Vec<ForgeComment>>,
    loses_next: AtomicBool,
}

/// A comment there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForgeComment {
    pub(crate) id: u64,
    /// Where comments of its pull request are listed and made.
    pub(crate) place: String,
    pub(crate) text: String,
}

/// One call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForgeCall {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    /// Header with the token, and its value.
    pub(crate) token: (&'static str, String),
    pub(crate) body: serde_json::Value,
}

impl FakeForge {
    /// Answers so once, after what was asked for before.
    pub(crate) fn answer_next(&self, answer: Result<ForgeAnswer, CallError>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// Takes the next comment, and the answer never arrives.
    pub(crate) fn lose_next_comment(&self) {
        self.loses_next.store(true, Ordering::SeqCst);
    }

    /// The comments there, oldest first.
    pub(crate) fn comments(&self) -> Vec<ForgeComment> {
        self.comments.lock().unwrap().clone()
    }

    /// Somebody deletes all of them.
    pub(crate) fn delete_comments(&self) {
        self.comments.lock().unwrap().clear();
    }

    /// Somebody else writes one.
    pub(crate) fn add_comment(&self, place: &str, text: &str) -> u64 {
        let mut comments = self.comments.lock().unwrap();
        let id = comments.last().map_or(100, |last| last.id + 1);
        comments.push(ForgeComment { id, place: place.to_owned(), text: text.to_owned() });
        id
    }

    /// What the forge does with a call about comments.
    fn take_comment(&self, call: &Call) -> Result<ForgeAnswer, CallError> {
        let answer = |status: u16, body: serde_json::Value| {
            Ok(ForgeAnswer { status, headers: Vec::new(), body: body.to_string().into_bytes() })
        };
        let is_bitbucket = call.url.starts_with("https://api.bitbucket.org/");
        let body = call.body.clone().unwrap_or_default();
        let text = if is_bitbucket { &body["content"]["raw"] } else { &body["body"] };
        let text = text.as_str().unwrap_or_default();
        if call.method == Method::Get {
            let place = call.url.split('?').next().unwrap_or_default();
            let list: Vec<serde_json::Value> = self
                .comments()
                .into_iter()
                .filter(|comment| comment.place == place)
                .map(|comment| match is_bitbucket {
                    true => serde_json::json!({ "id": comment.id, "content": { "raw": comment.text } }),
                    false => serde_json::json!({ "id": comment.id, "body": comment.text }),
                })
                .collect();
            let page = if is_bitbucket { serde_json::json!({ "values": list }) } else { list.into() };
            return answer(200, page);
        }
        if call.method == Method::Post {
            let id = self.add_comment(&call.url, text);
            if self.loses_next.swap(false, Ordering::SeqCst) {
                return Err(CallError::Away("forge.example: no answer within 20s".to_owned()));
            }
            return answer(201, serde_json::json!({ "id": id }));
        }
        let id = call.url.rsplit('/').next().and_then(|id| id.parse::<u64>().ok());
        let mut comments = self.comments.lock().unwrap();
        match comments.iter_mut().find(|comment| Some(comment.id) == id) {
            Some(comment) => {
                comment.text = text.to_owned();
                answer(200, serde_json::json!({ "id": id }))
            }
            None => answer(404, serde_json::json!({ "message": "Not Found" })),
        }
    }

    /// The calls since the last time this was asked.
    pub(crate) fn take(&self) -> Vec<ForgeCall> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

#[async_trait]
impl Forges for FakeForge {
    async fn call(&self, call: &Call, token: &Secret) -> Result<ForgeAnswer, CallError> {
        let token = format!("{}{}", call.token.before, token.expose_text().unwrap());
        let told = ForgeCall {
            method: call.method.as_str(),
            url: call.url.clone(),
            token: (call.token.header, token),
            body: call.body.clone().unwrap_or_default(),
        };
        self.told.lock().unwrap().push(told);
        let answer = self.answers.lock().unwrap().pop_front();
        let is_comment = ["/comments", "/notes"].iter().any(|part| call.url.contains(part));
        if answer.is_none() && is_comment {
            return self.take_comment(call);
        }
        answer.unwrap_or_else(|| Ok(ForgeAnswer { status: 201, headers: Vec::new(), body: b"{}".to_vec() }))
    }
}

/// Docker Hub: what it says is left, and who asked.
#[derive(Debug, Default)]
pub(crate) struct FakeHub {
    pub(crate) says: Mutex<Option<PullLimit>>,
    asked: Mutex<Vec<Option<String>>>,
}

impl FakeHub {
    /// Every question, with the user who asked.
    pub(crate) fn asked(&self) -> Vec<Option<String>> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl PullLimits for FakeHub {
    async fn ask(&self, credentials: Option<&Credentials>) -> Result<Option<PullLimit>, LimitError> {
        let user = credentials.map(|credentials| credentials.user.to_string());
        self.asked.lock().unwrap().push(user);
        let says = *self.says.lock().unwrap();
        says.map(Some).ok_or_else(|| LimitError::new("hub.example: no connection in time"))
    }
}
