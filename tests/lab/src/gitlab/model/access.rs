//! Users and their access tokens.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{InstanceState, Refusal, UserId};

/// What a token's user may do in the instance's projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub enum Role {
    /// Not a member: sees no private project.
    None = 0,
    Guest = 10,
    Reporter = 20,
    Developer = 30,
    Maintainer = 40,
    Owner = 50,
}

/// A user of the instance.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct User {
    pub id: UserId,
    pub username: String,
    pub name: String,
    /// The user of a project or group access token, or a service account.
    pub bot: bool,
    pub created_at: Timestamp,
}

/// A personal access token.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "GitLab's own words")]
pub struct Token {
    pub id: u64,
    pub name: String,
    pub user: UserId,
    pub scopes: BTreeSet<String>,
    pub role: Role,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    /// The token expires at the start of this day, in UTC.
    pub expires_at: Option<Date>,
    pub revoked: bool,
}

impl Token {
    /// Whether it has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at
            .is_some_and(|day| day <= now.to_zoned(TimeZone::UTC).date())
    }
}

impl InstanceState {
    /// Creates a user.
    pub fn create_user(&mut self, now: Timestamp, username: &str) -> Result<UserId, Refusal> {
        if self.user_named(username).is_some() {
            return Err(Refusal::Exists {
                kind: "user",
                name: username.to_owned(),
            });
        }
        let id = self
            .users
            .last_key_value()
            .map_or(UserId::FIRST, |(id, _)| id.next());
        let user = User {
            id,
            username: username.to_owned(),
            name: display_name(username),
            bot: false,
            created_at: now,
        };
        self.users.insert(id, user);
        Ok(id)
    }

    /// The user of that name.
    pub fn user_named(&self, username: &str) -> Option<&User> {
        self.users.values().find(|user| user.username == username)
    }

    /// Makes a user a bot.
    pub fn make_bot(&mut self, id: UserId) -> Result<(), Refusal> {
        let user = (self.users.get_mut(&id)).ok_or_else(|| Refusal::missing("user", &id))?;
        user.bot = true;
        Ok(())
    }

    /// The user with that id.
    pub fn user(&self, id: UserId) -> Result<&User, Refusal> {
        self.users
            .get(&id)
            .ok_or_else(|| Refusal::missing("user", &id))
    }

    /// Creates a token with the role Developer and returns its secret.
    pub fn create_token(
        &mut self,
        now: Timestamp,
        user: UserId,
        scopes: &[&str],
        expires_at: Option<Date>,
    ) -> Result<String, Refusal> {
        let username = self.user(user)?.username.clone();
        let id = 70_000_001 + self.tokens.len() as u64;
        let of_user = self
            .tokens
            .values()
            .filter(|token| token.user == user)
            .count();
        let secret = format!(
            "glpat-lab{:017x}",
            id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 4
        );
        let token = Token {
            id,
            name: format!("{username}-{}", of_user + 1),
            user,
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            role: Role::Developer,
            created_at: now,
            last_used_at: None,
            expires_at,
            revoked: false,
        };
        self.tokens.insert(secret.clone(), token);
        Ok(secret)
    }

    /// The token with that secret.
    pub fn token(&self, secret: &str) -> Result<&Token, Refusal> {
        self.tokens
            .get(secret)
            .ok_or_else(|| Refusal::missing("token", "with that secret"))
    }

    /// The token with that secret, mutable.
    pub fn token_mut(&mut self, secret: &str) -> Result<&mut Token, Refusal> {
        self.tokens
            .get_mut(secret)
            .ok_or_else(|| Refusal::missing("token", "with that secret"))
    }
}

fn display_name(username: &str) -> String {
    let mut letters = username.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
