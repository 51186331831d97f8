"""Every quantity that a remote drives, with its bound, its unit and its reason."""

# Identities ---------------------------------------------------------------------------------

ID_BYTES = 20
"""Peer ids and DHT keys: Kademlia's 160 bits."""

KEY_BYTES = 32
"""Ed25519 and X25519 public keys."""

PUZZLE_BITS = 16
"""Zero bits that a key's double hash must start with: 2 s to make an identity, and
45 ids around one key among a million nodes cost 14 core-minutes."""

PORT_MAX = 65535
"""The highest UDP port; 0 is none."""

# Datagrams ----------------------------------------------------------------------------------

DATAGRAM_BYTES = 1200
"""Fits every path that QUIC runs on (RFC 9000, 14)."""

DATAGRAM_ITEMS = 64
"""Items of any one list in a datagram: bounds what decoding allocates."""

CONTACTS_PER_REPLY = 20
"""More than k, so that a lookup survives 30 % dead contacts: 20 IPv4 contacts are 760 B."""

CONTACTS_SHARED = 8192
"""Contacts of replies kept as one object each: about 3 MB."""

CLOCK_SKEW_S = 60.0
"""How far ahead of our clock a record or an offer may be issued."""

VALUES_PER_REPLY = 16
"""Records in one reply; more come by asking for the next page."""

# Records ------------------------------------------------------------------------------------

RECORD_BYTES = 1000
"""A record and the sealed datagram around it stay within DATAGRAM_BYTES."""

PEER_RECORD_BYTES = 400
PEER_ADDRESSES = 8
"""A peer record, and the addresses in it: enough for two families, the LAN's and relays."""

RECORD_LIFETIME_S = {
    "peer": 2 * 3600,
    "availability": 2 * 3600,
    "provider": 24 * 3600,
    "lineage": 30 * 86400,
}
"""Longest accepted time between issue and expiry, by kind."""

REFRESH_RECORD_S = {1: 3600.0, 2: 11 * 3600.0, 3: 3600.0}
"""When the publisher refreshes a record, by the number of its kind: half its life at most."""

PROVIDERS_TRIED = 64
PROVIDERS_READ = 1024
CONNECTING = 8
"""Holders by which chunks have come in one download, and as many calls under way and links by which
none has; provider records that it reads, and how many holders it begins to call at once."""

HOLDER_PROOF_S = 4.0
HOLDER_PROOF_BYTES_PER_SECOND = 2**14
"""After so long a link by which no chunk has come gives its place to the next holder; one second
later for so many bytes that came, until STALL_S: many that share one line are slow. So 64 places
are enough for the 16 calls a second that CONNECTING begins, where a link takes half a second."""

HOLDER_FASTER = 2.0
"""By so much one that was not tried before must be faster to take the place of one that serves."""

LINKED_ASKED = 16
"""Linked peers that a download asks though no provider record names them, by one Open each."""

SEARCH_AGAIN_S = 1.0
SEARCH_LOST_S = (1.0, 15.0)
SEARCH_SERVED_S = (15.0, 120.0)
"""Holders are searched again while a download runs: so long after a search began at the earliest;
after these pauses while nothing comes, the first and the longest, each twice as long as the one
before; and after these while it is served. A search costs about as much as a lookup."""

GET_SETTLES_S = 10.0
"""For so long after this node has joined a download that finds no source searches on: where a pair
starts together, the one has to join and to publish before the other finds anything."""

GET_WAIT_S = 300.0
GET_WAIT_MAX_S = 7 * 86400.0
"""How long a download whose sources have all gone waits for one, since anything came, unless the
person says otherwise; and the most that may be said."""

LOST_SOURCE_CALLED_S = 15.0
"""A holder that has served this download and is lost is called again after so long at most, however
often calls to it have failed."""

CONNECTING_SLOW_S = 1.0
"""A holder whose link takes longer no longer counts among these: a link mostly takes less, and a
download must not wait for holders that stall."""

FILTERS_ASKED = 8
"""Peers whose availability is read side by side."""

FILTERS_KEPT = 256
FILTERS_CALLED = 4
"""Filters of other peers that a node keeps once it has read them or stores them, 1 KB each; and how
many peers a download calls for them alone, before it knows of any record: one in a hundred mods is
not there, and whose filter says yes to all costs one of the CONNECTING calls."""

FILTERS_READ_S = 20.0
"""How long a person who asks which peers hold a mod waits for their filters: each is read with two
lookups of a second or so, and peers whose filters cannot be read are no reason to wait longer."""

PUBLISHED_SHARE = 0.75
"""The share of a record's stores that must have confirmed before its publisher is told."""

REGION_STORED_S = 5.0
"""How long a publisher waits, after the nearest contacts of a key, for those of the region around,
where the nearest are probably sybils: the lookups that judge and find it, and a store."""

RECORDS_PUBLISHED_AT_ONCE = 4
"""Records of a node that it publishes side by side, as after its start: each is stored at k
contacts, and waits for the slower ones."""

REPUBLISH_AFTER_FAILURE_S = 20.0
REPUBLISH_REFUSED_MAX_S = 3600.0
"""When a record is published again that no contact has stored; twice as late each time that all
refused, up to the maximum: a publisher at its cap would ask 40 times a second for good."""

SHARD_SIZES = (16, 64, 160, 320, 640)
SHARD_CAPACITY = SHARD_SIZES[-1]
"""Mods in one availability filter: 640 at 1 % are 767 B, and the record still fits a datagram."""

SHARD_CHANGE = 0.01
"""A filter that changed by more than this share of its mods is published at once, others hourly."""

SHARD_BITS_MAX = 10
"""1024 filters: 650 000 mods of one peer."""

SEQUENCE_MAX = 2**53
"""Sequence numbers are publishing times in milliseconds, or count a lineage's records; no honest
one gets there."""

# Lineages -----------------------------------------------------------------------------------

LINEAGE_VERSION_MAX = 2**32 - 1
"""The number of a version."""

LINEAGE_FORKS_TOLD = 16
"""Forks of one lineage that a person is told of, once each: its publisher makes them at will."""

HEARD_LINEAGES = 4096
"""Lineages of which a node remembers what it has seen, besides those that it keeps up itself."""

HEARD_WRITTEN_S = 1.0
"""How long what was seen waits for more, as each transaction takes a flush of the disk."""

LINEAGE_POLLED = 3
LINEAGE_POLL_ANSWERS = 2
"""Contacts of the last lookup that a poll asks, and how many must answer alike for no lookup to
follow: one that has died is asked no more, and does not cost one."""

LINEAGE_READ_S = 6 * 3600.0
"""A lookup is made instead of a poll when the last one is so old: others are nearest to the key."""

LINEAGE_STORED_FIRST_S = 1800.0
LINEAGE_STORED_AGAIN_S = 6 * 3600.0
LINEAGE_STORED_PAUSE_S = 20.0
"""When each node looks whether a lineage's record is still at all k contacts: within so long of its
start, then so often, with jitter of a half both ways; and the least pause between two lineages. Its
own lineages come first, so that their links work again soon where all nodes were started anew. A
look costs a lookup, so a node that follows a thousand lineages looks at one in 20 s: 1 KB/s."""

LINEAGE_RENEWED_S = 10 * 86400.0
"""A publisher signs its newest record anew at this age, or up to a tenth earlier."""

FOLLOWS_PER_FRAME = 64
FOLLOWS_PER_LINK = 256
"""Lineages that a peer names as followed in one frame, and on one link: 6 MB of 256 links. A node
that follows more hears of the others by polls."""

FOLLOW_FRAMES_PER_SECOND = 4.0
FOLLOW_FRAMES_BURST = 64.0
NEWS_PER_SECOND = 8.0
"""Frames that name followed lineages, and records of lineages, that a link brings; of the latter
FOLLOWS_PER_LINK at once, as a link that has just opened may. A peer sends half as many a second."""

# The store for others -----------------------------------------------------------------------

STORE_BYTES = 64 * 2**20
"""Memory, not bytes of records: about 50 000 providers of a mod each, and twice what 500 mods a
peer and ten peers to each contact come to."""

STORE_VALUE_BYTES = 730
STORE_KEY_BYTES = 300
STORE_STORER_BYTES = 600
STORE_NETWORK_BYTES = 1250
"""Memory of one value besides its record's bytes, of a key's first value, of a storer's first one,
and of the first in each network of the storer besides: measured."""

STORE_VALUES_PER_KEY = 512
"""Providers of one popular mod kept at one contact."""
STORE_VALUES_PER_PEER = 1024
"""What one peer publishes, and what it stores, at one contact: in an overlay of a few nodes a
thousand mods, in one of a thousand nodes 64 times as many."""

STORE_LINEAGES_GONE = 4096
"""Records of lineages that were here, of which a store remembers how new they were: about 2 MB."""

# Sessions between DHT nodes -----------------------------------------------------------------

PEERS_REMEMBERED = 4096
"""Peers whose packet keys and counters are kept: about 1 kB each."""

REPLAY_WINDOW = 64
"""How far out of order requests of one peer may arrive."""

EPOCHS_LEFT = 4
"""Earlier runs of a peer that are remembered; their tokens expire within ten minutes."""

TOKEN_BYTES = 8
COOKIE_BYTES = 16
"""What a request carries to prove its address: where it changes state, and while we are flooded."""

TOKEN_PERIOD_S = 300.0
"""Tokens and cookies prove an address for one to two periods (BEP 5 uses 5 minutes as well)."""

TIMEOUT_MIN_S = 0.2
TIMEOUT_MAX_S = 1.5
TIMEOUT_UNKNOWN_S = 1.0
"""Wait for a contact's answer: SRTT + 4 RTTVAR within these, and this much without a sample."""

DOUBTED_ROUND_TRIPS = 1.5
DOUBTED_S = 0.02
"""A lookup waits so much longer than its usual round trip for one that was silent the last time."""

LINE_CONTACTS = 64
LINE_USUAL_S = 0.3
LINE_SLOW_S = 0.8
LINE_EXTRA_MAX_S = 4.0
"""Contacts by whose fastest quarter our own line is judged; the round trip to these beyond which
each time limit grows by what is more, and by how much at most; and from which on a person is told.
Of PlanetLab's hosts none has a quarter of all others farther away than the first of these."""

LATE_REPLY_S = 6.0
"""Until then a reply is still used, though its request has been given up."""

REQUESTS_OUTSTANDING = 4096
"""Requests of ours without an answer yet."""

REQUESTS_PER_SECOND_PER_HOST = 500.0
REQUEST_BURST_PER_HOST = 1000.0
"""Served requests of one source address, of peers that proved to be there, and as many of others,
which may be forged. A lookup asks one contact once; 500 is a whole LAN party behind one NAT."""

UNKNOWN_KEYS_PER_SECOND = 300.0
UNKNOWN_KEYS_BURST = 600.0
"""Unknown keys taken as they come: each costs a key agreement of 130 us, so these are 4 % of a
core. Further ones must echo a cookie."""

PROVED_UNKNOWN_KEYS_PER_SECOND = 600
"""Unknown keys with a cookie that are admitted besides: 8 % of a core."""

AGREEMENTS_REFUSED = 1024
"""Keys agreed on with senders of whose datagrams none has opened, kept against repetition: so many
valid public keys cost half an hour to make. 0.3 MB."""

COOKIES_PER_SECOND = 2000
HELLOS_PER_SECOND = 500
NETWORK_PART = 4
"""Cookies and hellos answered: 10 us, and a signature of 50 us, each. Of these, and of the unknown
keys with a cookie, one network gets this part of what is left, so that it keeps no newcomer of
another from a bootstrap."""

NAT_MAPPING_S = 60.0
NAT_MAPPINGS = 4096
"""How long an emulated NAT lets an address in after the last datagram to it, and how many such
addresses it remembers."""

HELLO_REPEAT_S = 1.0
"""The wait for the answer to a hello before it is sent again."""

HOSTS_RATE_LIMITED = 4096
"""Source addresses whose rate is remembered."""

# Tables -------------------------------------------------------------------------------------

K = 16
"""Kademlia's k: contacts in a bucket, and replicas of a record."""

FAILURES_MAX = 3
"""Failures in a row after which a contact leaves the table (BEP 5 calls it bad)."""

FRESH_S = 60.0
"""A contact seen within this time is not pinged to make room for another."""

NETWORK_IN_BUCKET = {3: 2, 8: 2, 6: 4, 4: 8}
NETWORK_IN_TABLE = {3: 10, 8: 10, 6: 20, 4: 40}
"""Contacts of one public network, by the bytes of its prefix: IPv4 /24, and IPv6 /64, /48 and /32.
One network cannot fill a table (S/Kademlia, 3)."""

REFRESH_S = 3600.0
"""Each bucket sees a lookup at least this often (Kademlia, 2.3)."""

LOOKUPS_AT_ONCE = 4
"""Refreshing lookups side by side."""

ANSWER_AGE_S = 600.0
ANSWERS_CHECKED_S = 30.0
"""A contact that has not answered for so long is pinged, at most twice this time later. No message
tells that a contact has died or turned slow, so each node must find out for its own table. It costs
an idle node 51 B/s both ways with 72 contacts (measured), so 80 among 1000 nodes and 210 among a
million."""

CHECKED_AT_ONCE = 8
"""Such contacts that are pinged side by side."""

SAVE_CONTACTS_S = 300.0
CONTACTS_SAVED = 200
"""How often contacts are saved in the home for the next start, and how many."""

MEETING = 32
NAMES_PER_BUCKET = 64
"""Contacts met at once while tables are filled, and those kept in mind for each bucket."""

SOURCES_AT_ONCE = 2
SOURCES_PER_BUCKET = 4
"""Contacts asked for what a bucket lacks: more than one, so that none chooses all of it."""

RECHECK_S = 3.0
"""A contact that failed is pinged again after this, until it answers or leaves the table."""

LEAVES_TOLD = 512
LEAVE_S = 0.5
"""Contacts, registrars and registered peers that a node tells when it ends, and how long it waits
for those that want a fresh proof of its address first: all of it within the 2 s of an end."""

LEFT_REMEMBERED = 32
"""Contacts that left in order, by which a node joins again that has lost all others."""

LEAVES_REFILL_PART = 4
LEAVES_REFILL_S = 60.0
"""Once this part of the contacts has left in order, others are looked for, so often at most."""

OUTAGE_S = 600.0
"""For how long the silence of all contacts is taken for a fault of our own network."""

VERIFYING = 32
VERIFYING_ASKERS = 24
"""Contacts being pinged at once, to enter a table or to stay in it, and those among them that asked
us something: the rest is for contacts that we know, whichever peer asks."""

# Lookups ------------------------------------------------------------------------------------

LOOKUP_CANDIDATES = 600
LOOKUP_REQUESTS = 120
LOOKUP_S = 20.0
LOOKUP_ROUND_TRIPS = 8
"""Peers that one lookup keeps in mind, its requests, and how long it takes at most. There is room
for what 20 slots bring before any of it is judged, for LOOKUP_SEEDS, and for what honest contacts
name besides: names that find no room are lost, as each contact is asked once."""

LOOKUP_SILENT = 60
LOOKUP_PATH_SILENT = 20
"""Requests of a lookup, or of one of its disjoint paths, that are counted apart while they have no
answer: identities without a host that liars name do not use up the others."""

LOOKUP_SILENT_NAMED = 4
"""So many silent peers more than answering ones a contact may name before the rest of what it names
comes last. With 30 % of all contacts dead an honest one seldom does."""

LOOKUP_SILENT_PER_NETWORK = 2
"""From so many silent peers of one network on, others of it are asked last in that lookup, unless a
reliable contact or our own table names them: a network that liars name gets few datagrams."""

INTRODUCING_BYTES = 16 * 1200
"""Of a contact's answers, those that may still be sent to addresses known only by its word: sixteen
padded requests. So no address gets more bytes by lookups than those who name it sent."""

LOOKUP_SEEDS = 64
"""Contacts of our own with which one begins: farther ones are asked only where all that are nearer
fail, so 20 identities near the target that never answer leave it no dead end."""

LOOKUP_VARIANTS = 4
"""Addresses at which one lookup keeps one peer: liars name true neighbours at dead ones."""

LOOKUP_PATHS = 4
LOOKUP_PATHS_MAX = 8
"""Disjoint paths of a read, and of any lookup: with a fifth of all nodes adversaries 98 % and more
of S/Kademlia's lookups over 4 succeed, and 99 % over 8 (Baumgart & Mies 2007, figure 4)."""

LOOKUP_PATH_REQUESTS = 40
"""Requests of each disjoint path, where its part of LOOKUP_REQUESTS is less."""

CRAWL_CONTACTS = 2000
CRAWL_S = 30.0
CRAWL_AT_ONCE = 32
"""How far a crawl walks, how long, and how many contacts it asks side by side."""

CRAWL_TARGETS = 8
"""Random targets by which a crawl estimates the size of the network: to about 11 %."""

READ_ASIDE = 8
"""Contacts drawn by chance with which a read begins anew that has found nothing: where fewer than
half are accomplices of those near the key, one of 256 such reads begins with accomplices alone."""

READ_RECORDS = 128
READERS_PAGED = 3
TURNS_IN_VAIN = 4
"""Records by which further pages add to a read, contacts that are asked for a page at a time, and
how many times in a row without any record that is not known yet."""

# Sybils around a key -------------------------------------------------------------------------

SIZE_SAMPLES = 64
"""Lookups from whose radii the network's size is estimated, one in each of so many parts of all
ids: good to 4 %."""

SIZE_SAMPLES_SUSPICION = 2
SIZE_SAMPLES_VERDICT = 8
"""Lookups of other ids before sybils are suspected (good to 20 %), and before the verdict."""

SIZE_HINTS = 5
SIZE_VOICES = 4
"""Contacts whose word on the network's size is asked before any lookup for it, and how many must
say that it is so large: where one contact in four lies, one of 64 judgements is theirs."""

PLAUSIBLE_CHANCE = 0.01
"""How likely the nearest contacts of a key must be by that word for no lookups to follow, where it
matters only whether they are probably sybils."""

SUSPICIOUS_CHANCE = 0.05
SYBILS_CHANCE = 0.001
"""How unlikely the nearest contacts of a key must be to be suspected, and to count as sybils. Who
suspects those nearest to its id has K registrars: 1 peer in 20 does so for no cause."""

REGION_PARTS = 4
"""Lookups of a region around a key, which find all but one in 16 of those in it."""

# Joining ------------------------------------------------------------------------------------

JOIN_PINGS_AT_ONCE = 32
JOIN_PINGS_S = 0.5
"""Saved contacts pinged side by side, and the wait before the next ones are pinged."""

JOIN_ANSWERS = 8
JOIN_GRACE_S = 0.05
"""With so many answers a node begins to join; or after the first one and this, or as long again as
that took: the others may be dead."""

HELLO_S = 4.0
"""The wait for a bootstrap's hello reply: a silent one is reported within 5 s."""

JOIN_RETRY_MIN_S = 2.0
JOIN_RETRY_MAX_S = 60.0
"""The pause before joining is tried again; it doubles from one try to the next."""

JOINED_THROUGH_S = 10.0
"""A node that knows no contact has joined so long after a peer registered with it: most peers that
do when they start prove to be contacts by then."""

JOIN_WAIT_S = 10.0
JOIN_ROUND_TRIPS = 8
"""How long what needs the overlay waits for the end of the first try to join: longer than HELLO_S,
as names are looked up before, and saved contacts pinged."""

# Signaling ----------------------------------------------------------------------------------

SIGNAL_BYTES = 1040
"""Every sealed offer and answer, padded: it and its frames fit one datagram, from the caller to a
registrar and on to the callee. The peer that names addresses has sent as much as these may get."""

REGISTRATIONS = 2048
"""Peers that one registrar accepts."""

REGISTRATION_S = 20 * 60.0
"""How long a registration is kept without a new REGISTER."""

REREGISTERED_S = 25.0
"""Within this time of the failure of any registrars a peer has as many again as before."""

REGISTRAR_TRIES = 3
REGISTRAR_SILENT_S = REGISTRAR_TRIES * TIMEOUT_MAX_S
"""A registrar that lets so many requests go unanswered is replaced: after this at most."""

REGISTRAR_REPLACED_S = 4.5
"""For a lookup of the own id and REGISTER: both take 1.5 s where a third of all nodes has died."""

KEEPALIVE_S = REREGISTERED_S - REGISTRAR_SILENT_S - REGISTRAR_REPLACED_S
"""How often each registrar gets a KEEPALIVE: one that dies just after its answer is missed in time.
Far below the 30 s after which impatient NATs forget a UDP mapping (RFC 4787, 4.3)."""

REGISTERED_ALIVE_S = 3 * KEEPALIVE_S
"""A registered peer that has not been heard for so long gets each offer once, so no more bytes than
its caller sent, and no caller is told of it: its address may be another's by now."""

REGISTRARS = 6
REGISTRARS_NEAREST = 2
REGISTRARS_CALLED = 3
"""Contacts with which a peer registers: so many that are nearest to its id, which calls find first,
and the others drawn from the k nearest, since a few ids are ground nearer than all others. And how
many a call tries at once."""

REGISTRARS_CROSSING = 2
"""Of a peer that has one address family alone: registrars that have both, in or beside the others,
so that callers of the other family find it."""

WAYS_KNOWN = 1024
WAYS_AT_ONCE = 2
WAY_KNOWN_S = 10 * 60.0
"""Peers of which is remembered by which contacts they answered, how many of these the next call
tries before its lookup has found any (one fewer than REGISTRARS_CALLED, as all may be gone), and
for how long."""

REGISTRARS_BELIEVED = 2
"""Networks whose contacts must agree on why a call failed, where any two do, before one's word
counts: a peer has registrars in more than that."""

RELAYS_TRIED = 24
"""Contacts that claim to reach one callee and are believed in one call: liars may be among them."""

REGISTRARS_RENEWED_S = 8 * 60.0
"""How often a registered peer looks whether nearer contacts have come, and replaces the drawn one
that it kept longest."""

ROUND_TRIP_MS_MAX = 2000
"""A caller's round trip to a registrar, as the two tell it to the callee, which waits half of it
with its checks: a liar among them delays these by a second. 0 says that nothing was measured."""

WAY_UNMEASURED_S = 0.1
"""How long an answer is taken to travel a part of its way whose round trip is not measured: as to
another continent. A callee that counted nothing for it would check too early for its caller."""

CALL_S = 10.0
"""How long a node waits for the callee's answer to an offer."""

CALLS_PER_CALLER = 4
CALLS_PER_CALLEE = 64
CALLS_PENDING = 1024
"""Calls under way at one node: of one caller, to one callee, and those remembered in all. Of
50 calls a second a registrar holds 20 while each takes 0.4 s to its callee, and they bunch. Where
they are all taken, networks and callers with most of them make room."""

OFFERS_REMEMBERED = 8192
OFFERS_PER_CALLER = 32
"""Offers kept against replays for twice CLOCK_SKEW_S, of all callers and of one: more than a call
every four seconds has no use. To fill it against others takes 8192 identities."""

BUSY_RETRY_S = 2
BUSY_RETRY_MAX_S = 60
"""After how many seconds who is refused for want of a place should ask again, where the time that
places are kept does not say, and what is told at most: a minute, which hardly a person waits."""

CALL_COPIES = 3
"""Requests of one call that wait for its answer at one node: repeats, and three registrars."""

CALL_REPEAT_S = 1.0
"""The wait for the answer to an offer before it is sent again."""

CALL_NEAR_S = 4.0
CALL_UNMEASURED_S = 5.5
CALL_FAR_ROUND_TRIP_S = 0.5
CALL_DELIVERED_AGAIN_S = 0.5
"""How long a registrar waits for a callee to which the round trip is short, or was not measured,
and when it repeats the offer: six of those to a callee 2.5 s away can be answered in time, all of
which are lost at 10 % of loss each way once in 20 000 calls. One that is known to be farther than
CALL_FAR_ROUND_TRIP_S has CALL_S."""

CALL_MEMORY_S = 60.0
"""How long an answer is kept for copies of its call."""

CANDIDATES = 8
"""ICE candidates in one description."""

RELAYS_NAMED = 3
WITNESSES = 4
"""Contacts that one description names: to be relays of the link, and to see the peer's address."""

WITNESSES_NEEDED = 2
"""Witnesses that must have seen a peer at an address: one may lie, and two may be dead. Of three a
second dead one ended one search in fifty where contacts come and go."""

WITNESSED_TOKENS = 1024
WITNESSED_PER_HOST = 16
WITNESSED_PER_NETWORK = {3: 64, 8: 16, 6: 64, 4: 256}
WITNESSED_HOSTS = 2
WITNESSED_S = 6.0
"""Tokens left with a witness, those of one host, those of one public network by the bytes of its
prefix (IPv4 /24, IPv6 /64, /48 and /32), the hosts of one (IPv4 and IPv6), and how long they are
told: a little longer than a side looks for the other's, so that no token is told of a side that
has given its turn to another."""

SCTP_INIT_BYTES = 64
"""The INIT of our own SCTP has 26 B; more parameters than twice that are of no use."""

PORT_WINDOW_MAX = 64
"""Predicted ports of one peer that are checked: each is one more datagram to its address."""

BIRTHDAY_SOCKETS = 384
BIRTHDAY_PROBES = 1024
BIRTHDAY_RATE = 200.0
BIRTHDAY_PAUSE_S = 20.0
"""A search by many probes: mappings of one side, probes of the other, these a second, and the least
time between two searches of one node. It finds a pair in 99.8 % of all cases, in 5 s at most. 256
mappings would in 98.4 %: of 40 simulated pairs at PlanetLab's round trips they missed one and had a
direct path after 5.5 s at p95, where 384 missed none and had one after 3.7 s."""

BIRTHDAY_MEETING_S = 5.0
BIRTHDAY_PATIENCE_S = 120.0
"""How long the side that probes keeps its turn for a peer that does not show its sockets, while
others wait: an honest one shows them 0.4 to 1.0 s later at a round trip of 0.1 s, and a lost
datagram costs 1.5 s; and how long a search is waited for, while a relay carries the link."""

BIRTHDAY_PROBES_ENOUGH = 512
"""Probes after which a search that has found nothing ends where others wait, and the pause is that
part of the whole one: 95.3 % of honest peers are found by these, and the last 512 find 4.5 %. A
peer that says it has sockets, and has none, so costs 10 s of others' time, not 20."""

BIRTHDAY_REPEATS = 3
BIRTHDAY_REPEAT_S = 30.0
"""A search that has found nothing is repeated so often, after this and each time twice as long: one
whole search in 482 misses, and one in 22 of those that end early. Four that miss are a router of
another kind than its node takes it for."""

SEARCH_TURN_REMEMBERED_S = 120.0
SEARCH_TURNS_REMEMBERED = 1024
"""How long, and how many, turns of a peer or of its network let others come before it: as long as
a search waits for its turn."""

PORT_SAMPLE_AGE_S = 60.0
PORT_RATE_MAX = 1000.0
"""How old a sample of a router's ports may be to be told, and how many mappings a second it makes
for others at most: beyond these no port can be predicted."""

# Links --------------------------------------------------------------------------------------

MESSAGE_BYTES = 65536
"""Largest data-channel message that stock WebRTC peers take (RFC 8841, 6: the default)."""

LINKS = 256
"""Open links of one node, and those being made: at most 1.5 MB each."""

LINKS_WANTED = 64
"""Peers whose links this node keeps up without a transfer, and reasons for each: a quarter of all
links, so that as many as before are left for others and for this node's own calls."""

LINK_UNUSED_S = 10.0
"""What a peer sent less than this ago may not have come when an idle link is to be closed."""

LINK_CHANGES = 256
"""Changes of links that are kept for who reads them late, 0.5 kB each: one of every link."""

LINK_ATTEMPTS = 128
"""Calls of others that are being made into links at one time: 50 a second, at 2.5 s each."""

LINK_RESTARTS = 6
"""Restarts of ICE of one link in a minute, asked for by either side: a router that loses a mapping
every 60 s needs one, and each side may try again after 1, 2 and 4 s."""

LINK_ROUND_TRIPS = 10
"""Round trips that a link may take from the answer on, where each of them takes longer."""

LINK_RESTART_S = 5.0
LINK_RESTART_ROUND_TRIPS = 4
"""How long one restart is waited for, from the offer to the pair: then comes another."""

LINK_RESTARTS_KEPT = 2
"""Of LINK_RESTARTS so many are not spent on looking for other paths: the relay may die."""

SEEKING_PAUSE_MAX_S = 300.0
"""The longest pause before a relayed link looks anew for a direct path, or for a second relay."""

LINK_CALLS = 128
"""Calls of this node that are being made into links at one time: twice what one download tries."""

PAGE_ATTEMPTS = 8
"""Offers of web pages that are being made into links at one time: no page needs two, and each keeps
an ICE agent and a DTLS handshake until its time is over."""

PAGE_SDP_CHARS = 16_384
PAGE_CANDIDATES = 64
"""An offer of a page as SDP, and candidates in it: a browser on a machine of 8 addresses that also
asks two STUN and TURN servers writes some 5000 characters and 40 candidates."""

PAGE_SETTINGS = 16
"""Origins of pages that a person permits, and relays that pages are given: a browser slows down
with more than four servers."""

LINK_ATTEMPTS_PER_NETWORK = 16
LINK_PROOF_S = 1.0
LINK_SLOW_S = 5.0
ROUND_TRIP_BELIEVED_S = 0.5
"""Where all of these are taken: how many one public /24 or /48 keeps, how long one is kept of a
peer that has proved no address, if four of its round trips are not longer, and one that is no link
yet. Where none of these times is over, the round trips that callers tell count for so much at most:
of those of PlanetLab none is longer."""

RELAYED_NETWORKS = 2
"""The peers behind relays, whose networks are not known, keep the places of so many networks: an
eighth of all links, and one in ten honest people has no other way."""

LINKS_PER_NETWORK = 16
LINKS_KEPT_PART = 4
LINK_TENURE_S = 30.0
"""Where all links are taken: how many one public /24 or /48 keeps, which part is kept for links
that this node asks for, and as many for peers that have been of no use yet; and how long a link is
kept that is of no use."""

VISITS_S = 600.0
VISITORS = 4096
VISITORS_OF_NETWORK = 2
VISITS_COUNTED = 4
"""For how long it is remembered how often a peer took a place of a link, of a call that this node
answers and of a call that it forwards as a registrar; of how many peers, for each of the three. All
that take a link are remembered, since 192 places each for 30 s are 3840 in that time. Calls change
places within seconds: where more callers come, those that came longest ago count as new ones. So
many others of one public /24 or /48 make a new peer from there one that came before (not for calls
that are answered, whose network is not proved); and how often counts at most, so that places do not
change hands for ever. To keep the 64 places of peers of no use from others all the time, 640
networks must take turns."""

RULE_BREAKER_S = 60.0
RULE_BREAKERS = 1024
RULE_BREAKERS_OF_NETWORK = 4
"""How long a peer that broke the protocol on a link gets no other one, since a link costs more to
make than to break; how many are remembered; and how many of a public /24 or /48 close it to peers
that have been of no use."""

PEERS_CREDITED = 1024
CHUNKS_CREDITED = 2**16
"""Peers whose use is remembered, and chunks that are told apart for each: 8 kB a peer."""

REGISTRAR_WORTH = 2**20
"""What a registrar of ours is worth to us, in bytes: it brings the calls of others."""

DESCRIPTION_BYTES = 744
"""A description with everything that it may hold, all of it IPv6 but for the witnesses."""

RESTART_FRAME_BYTES = DESCRIPTION_BYTES + 32
"""A frame that offers or answers a restart of ICE: a description, 16 bytes of id and heads."""

DESCRIPTION_FEATURES = 0x7F
"""The bits of a description's features, in one byte; those without a meaning are not looked at."""

ICE_USERNAME_CHARS = 32
ICE_PASSWORD_CHARS = 32
"""No sender may use longer ones (RFC 8839, 5.4)."""

ICE_ADDRESSES_LEARNED = 32
"""Addresses of one peer, told or learned from its checks: each pairs with each of our sockets."""

ICE_BASES = 512
"""Bases of one agent: sockets, relays, and the sockets of one search for a port (384)."""

ICE_PAIRS = 100
"""Pairs of one agent that it checks on its own account (RFC 8445, 6.1.2.5)."""

ICE_PAIRS_LEARNED = 64
"""Pairs besides that checks of the peer made: as many as it has addresses, for two bases each."""

ICE_CHECKS_OUTSTANDING = 1280
"""Checks of one agent that may still be answered: a search for a port sends 1024."""

ICE_CHECKS_EARLY = 32
"""Checks that come before the peer's credentials are known: one for each of its addresses."""

ICE_CHECKS_UNPROVED = 4
"""Checks that one address gets before it has sent one: it may be a victim's, named by the peer."""

ICE_UNPROVED_BYTES = SIGNAL_BYTES
"""For all unproved addresses of one description together: no more than the signal that brought it
had. About ten checks."""

ICE_TRIGGERED_BYTES = 208
"""Of these for addresses whose own checks have come: our answer and our check are together 68 B
longer than theirs. So three of them are checked at once, whatever openers and probes have used."""

ICE_CHECKS_PER_NETWORK = 256
ICE_NETWORKS = 1024
"""Checks and openers a minute to the unproved addresses of one /24 or /48, and networks remembered
for it."""

ICE_CONSENT_S = 30.0
"""How long an answer of an address speaks for it: data may be sent there, and more checks than an
unproved one gets (RFC 7675, 5.1)."""

PATHS_KEPT = 3
"""Pairs of one link beside the selected one that are checked on, while their answers speak for
them."""

PATH_CHECK_IDLE_S = 14.0
PATH_CHECK_BUSY_S = 1.5
"""How often such a pair is checked at most: on an idle link with the first consent check so long
after, below the 30 s after which impatient NATs forget a mapping; and while data arrive."""

PATH_CHECK_CARRIED_BYTES = 30_000
PATH_CHECK_SLOW_S = 4.0
"""So much a link carries for each pair until it checks all of them once more, 100 times what a side
sends for it; or else it waits for so long, within the time that an answer speaks for a path."""

PATH_PENALTY_S = 30.0
PATH_SILENT_PENALTY_S = 5.0
PATH_PENALTY_MAX_S = 600.0
PATH_PENALTIES = 64
"""How long a path is left alone that passed checks and no data, or fell silent; then twice as long
each time, up to a bound. So many paths of one link are remembered for it."""

ICE_ROLE_SWITCHES = 4
"""Conflicts of roles in which one agent gives way, until its ICE restarts: one is honest, and two
where both sides give way at once."""

FIRST_REQUEST_BYTES = 169
"""A request for a relay's credentials, or to a witness, that one gets which has answered none."""

WITNESSES_ASKED = 1024
WITNESS_SILENT_S = 60.0
"""Witnesses that have answered nothing get one request in so long; so many are remembered."""

ICE_OPENERS = 128 + (1 + BIRTHDAY_REPEATS) * BIRTHDAY_SOCKETS
"""Openers of one agent, 20 bytes each: one from each socket of each search for a port, and some."""

STUN_OWNERS = 2 * (LINKS + LINK_ATTEMPTS)
"""Parts of one port that send STUN requests: ICE of each link, clients of STUN and TURN servers."""

STUN_ATTRIBUTES = 32
"""Attributes of a STUN message that are read: twice what any method of ICE or TURN has."""

STUN_KEYS = 512
"""Keys of MESSAGE-INTEGRITY whose first hashes are kept: 0.5 kB each, two a link."""

STUN_TEXT_BYTES = 763
"""USERNAME, REALM, NONCE, SOFTWARE and reasons: the longest that RFC 8489 (14) lets one be."""

STUN_ATTRIBUTES_PEEKED = 16
"""Attributes of a STUN message among which its USERNAME is looked for: senders put it first."""

ICE_UFRAGS = 2 * (LINKS + LINK_ATTEMPTS)
"""Local ufrags of one port: one a link, and a second while ICE restarts (RFC 8445, 9)."""

LINK_ADDRESSES = (LINKS + LINK_ATTEMPTS) * ICE_ADDRESSES_LEARNED
"""Remote addresses from which one port takes DTLS, of all links."""

ICE_DATAGRAMS_WAITING = 1024
"""Datagrams of one peer that DTLS has not read yet: 1.5 MB."""

DTLS_PATIENCE_S = 4.0
"""A handshake that is no further has stood still: OpenSSL repeats a flight after 1 and 3 s."""

DTLS_HANDSHAKE_PAUSE_S = 0.5
"""Between two handshakes of one attempt, so that forged datagrams cause two key exchanges a second
at most; about as long as an honest handshake takes on a long way."""

SESSION_MESSAGES = 2**32
"""Messages under one key: 281 TB, far below the bounds of AES-GCM for 64 KiB messages."""

EARLY_MESSAGES_BYTES = 2**20
"""What a peer may send on a new link before the handlers of its frames are registered."""

EARLY_MESSAGE_OVERHEAD_BYTES = 64
"""What each of these counts for besides its length: empty messages take memory as well."""

CLOSE_REASON_BYTES = 200
"""The reason that a peer gives for closing a link, in UTF-8."""

SCTP_CHUNKS_UNDELIVERED = 8192
"""SCTP chunks held because an earlier one is missing, or the message is not complete: several
times what the 1 MB window of stock peers allows."""

# Relays -------------------------------------------------------------------------------------

STUN_ANSWERS_PER_SECOND = 10.0
"""STUN answers to one source that has not proved its address: Binding, and TURN's errors. They are
at most STUN_ANSWER_FACTOR times as long as their request."""

STUN_ANSWER_FACTOR = 3
"""RFC 9000, 8.1: how much longer than a request an answer to an unproved address may be."""

RELAY_CREDENTIAL_BYTES = 64
"""User name, password, nonce and realm of a relay's credentials; the longest of ours has 44."""

RELAY_CREDENTIALS_S = 3600
RELAY_NONCE_PERIOD_S = 1800
"""How long credentials are good, and half as long as a nonce is at most (RFC 8489, 9.2)."""

RELAY_ALLOCATION_S = 600
RELAY_CHANNEL_S = 600.0
RELAY_PERMISSION_S = 300.0
"""Lifetimes without renewal of an allocation, a channel and a permission (RFC 8656, 3.2, 9, 12)."""

RELAY_ALLOCATIONS = 64
RELAY_ALLOCATIONS_PER_PEER = 2
RELAY_ALLOCATIONS_PER_NETWORK = {3: 8, 8: 8, 6: 16, 4: 32}
"""Allocations of one relay, of one peer there (one per address family), and of one public network
by the bytes of its prefix: IPv4 /24, and IPv6 /64, /48 and /32."""

RELAY_UNUSED_S = 15.0
RELAY_IDLE_S = 60.0
"""An allocation that has carried nothing since it was made, for as long as an attempt may take,
or nothing for so long after it had, makes room for another where a bound is reached. A link's
checks of consent are at most 30 s apart."""

RELAY_TENURE_S = 30.0
"""How long an allocation in use keeps its place where all are in use; then the one that carries
least goes for a network that has none. As links do (LINK_TENURE_S)."""

RELAY_PERMISSIONS = 32
RELAY_CHANNELS = 32
"""Permissions and channels of one allocation: peers that one client reaches through it at once."""

RELAY_REQUESTS_PER_SECOND = 50.0
RELAY_REQUESTS_BURST = 200.0
"""TURN requests of one source whose nonce proves its address: each costs about 50 us."""

RELAY_OWN_REQUESTS_PER_SECOND = 10.0
RELAY_OWN_REQUESTS_BURST = 100.0
"""Those of one allocation, which are counted apart, so that others behind its router do not use
them up: all channels at once, each three times; 64 such allocations cost 3 % of a core."""

RELAY_BYTES_PER_SECOND = 2_000_000
RELAY_BYTES_A_DAY = 20_000_000_000
RELAY_RATE_MAX = 10**12
"""What a relay sends on in all, with IP and UDP headers, unless configured otherwise, and what may
be configured."""

RELAY_SHARE = 2
"""One allocation has at most this part of a relay's rate: half, so that no pair has all of it."""

RELAY_BURST_S = 0.25
RELAY_BURST_BYTES_MIN = 2**18 + 2**14
"""What may be forwarded at once: the rate over this time, or four of the largest joined buffers
with the headers of their datagrams."""

RELAY_PART_S = 1.0
"""A network that sent nothing for so long has no part of a relay's rate, until it sends again."""

RELAY_NETWORKS_A_DAY = 4096
"""Networks of which a relay remembers what they sent today, 0.4 MB; those with least go."""

RELAY_ROUTES = 4096
"""Ways from channels to their peers that a relay keeps found, of all allocations."""

RELAY_ANSWER_ROUND_TRIPS = 1.2
"""A relay's first answer may take so many of the round trips that its credentials took."""

RELAYS_USED = 16
"""Relays at which one node has allocations at a time."""

RELAY_STALL_S = 1.5
"""A relayed pair over which no link opens for so long is left for another relay, if there is one:
DTLS repeats a lost flight after 1 s, and three that drop data cost 4.5 s of an attempt's 15."""

RELAY_STALL_ROUND_TRIPS = 6
"""Of such a pair, if that is longer: so many a link takes from ICE to the session."""

SLOW_PATH_RATE = 12_000
SLOW_PATH_S = 4.0
SLOW_RELAYS_LEFT = 2
"""Bytes a second that a relay carries at least of what waits, over so many seconds, or a link looks
for another, so many times in all: three quarters of what 128 kbit/s carry, and soon enough
for a download that waits for a chunk."""

SUSPECT_PATH_RATE = 64_000
SUSPECT_PATH_PERIODS = 2
"""A relay that carries less than this, though more than that, over so many SLOW_PATH_S in a row is
left as well, as often in all: where others are as slow the line is, and the last one stays."""

RELAY_DOUBTS = 1024
RELAY_DOUBT_S = 600.0
"""Pairs of a relay and a peer whose link it did not carry that a node remembers, about 100 KiB, and
for how long it names such a relay last: an overloaded one may be well again."""

RELAYS_ANSWERED = 1
"""Relays that an answer names besides those of its offer, none of them the callee's registrar."""

RELAYS_SURE = 2
"""Of the relays that an offer names so many come from its callee's registrars, and with so many
proved ones a callee asks none that has not proved itself."""

RELAY_KEEPALIVE_S = 20.0
"""How often a client shows its relay that its mapping stands: below the 30 s after which impatient
NATs forget it (RFC 4787, 4.3)."""

# Reachability -------------------------------------------------------------------------------

OBSERVERS_REMEMBERED = 64
OBSERVED_S = 20 * 60.0
"""Networks whose view of our address is kept, and how long one counts beside newer ones."""

OBSERVERS_MIN = 3
OBSERVERS_AGREE = 2 / 3
"""Networks that must have seen us before their word counts for more than one contact's, and the
share of them that must agree: fewer liars change nothing."""

CLOCK_VOICES = 128
CLOCK_VOICE_S = 2 * 3600.0
"""Networks whose word on our clock is kept, and for how long: a contact that keeps a record of ours
is asked again within an hour."""

CLOCK_SIGNS_MIN = 3
"""Networks that must say that our clock is off before that is believed, and keys whose records show
it: the clock of one contact or publisher may be off, or it lies."""

CLOCK_AGREE_MIN = 5
CLOCK_AGREE_S = 10.0
"""Networks whose contacts must tell the same time, within so much, before ours is corrected by it;
and how far our wall clock may part from the monotonic one before what they told counts no more."""

CLOCK_ROUND_TRIP_S = 5.0
"""A time that took longer to come tells too little: it may be off by half of that."""

CLOCK_VOICES_WANTED = 2 * CLOCK_AGREE_MIN
CLOCK_ASKED_AGAIN_S = 15.0
CLOCK_ASKED_AGAIN_MAX_S = 30 * 60.0
CLOCK_ASKED_WAIT_S = 0.45
"""Networks whose time a node wants to know: it asks contacts of others as long as fewer have told
it, after so long, then after twice as long each time; and how long a join waits for their answers,
at most."""

CLOCK_LOOK_S = 60.0
"""For how long what follows from the times that were told is not looked at anew."""

TIME_TOLD_MAX = 2**32 - 1
"""Of the seconds since 1970 in the response to a PING, which so has one length."""

SIGHTINGS = 12
SIGHTINGS_PAUSE_S = 1.0
"""Contacts of each family, each in a network of its own, that are asked where they see us when a
link is silent or a contact contradicts what was agreed on; and how often at most, which is also how
long their answers are waited for."""

DOUBT_S = 5.0
DOUBT_MAX_S = 60.0
"""The pause before others are asked because of a contradiction, doubled as long as the doubt lasts:
liars may cast doubts, and cost a few pings in a minute by it."""

PORTS_REMEMBERED = 1024
"""Ports at which contacts saw this node: one of an older mapping does not look like a new one."""

PORT_SAMPLES = 32
PORT_STEPS_MIN = 2
PORT_STEP_SEEN_MAX = 256
PORT_STEP_S = 10.0
PORT_STEPS_BACK = 0.2
"""Mappings whose ports are compared, how many must follow one another, by what distance and within
what time, and what share may go back, for a NAT to be sequential. Random ports do so once in 60 000
times; those of a small block would often, but half of them go back. Counted ones seem to where the
first datagram to a contact was not the overlay's: its mapping is older than the request."""

DIALBACK_RANDOM_BYTES = 16
"""What a dial-back repeats: enough that only who was asked can send one."""

HOST_FILTER_BYTES = 64
HOST_FILTER_HOSTS = 200
"""A filter of hosts sent to, and how many it may hold: then it takes every third for one."""

DIALBACKS = 4
DIALBACKS_PUBLIC = 3
DIALBACKS_MAX = 12
DIALBACK_TRIES = 24
DIALBACKS_VOID = 4
"""Dial-backs that a round asks for, those that show a node to be public, those that it asks for
where some arrive and some do not, the most that it starts, and how many as long as none arrives
unasked or is missed: in a small overlay of nodes without firewalls none will."""

DIALBACK_SILENCE_S = 600.0
RECENT_HOSTS = 16384
"""For how long at least, and how many, hosts are remembered that were sent to, and as many that
were heard from: their dial-backs count for nothing. NATs forget within 5 minutes, most within 2
(RFC 4787, 4.3). 4 MB."""

DIALBACK_S = 5.0
DIALBACK_LATE_S = 1.0
"""How long the answer to DIALBACK is waited for, and after it the dial-back itself."""

VERDICT_S = 600.0
VERDICT_DOUBTED_S = 30.0
VERDICT_RETRY_S = 15.0
VERDICT_RETRY_MAX_S = 1800.0
"""When reachability is tested again: regularly, to confirm that a public node no longer is, and, at
first and at most, where it could not be tested: in small overlays, which grow slowly."""

DIALS_PER_HOST = 32
DIALS_PER_NETWORK = 64
DIALS_PERIOD_S = 60.0
DIALS_PART = 4
DIALS_PER_SECOND_PER_ASKER = 1.0
DIALS_BURST_PER_ASKER = 8.0
"""Dial-backs that one node sends to one host and to one /24 or /64 in such a time, of which the
askers of one network get this part of what is left, and for one asker, whose word for the target it
takes: with the 17 bytes of each, nothing that a reflector is worth. An honest asker needs one or
two, so that to use them up against it takes the askers of a dozen networks, at every node."""

DIALBACKS_PER_SECOND_PER_ASKER = 1.0
DIALBACKS_BURST_PER_ASKER = 6.0
"""Dial-backs that one peer may ask of one contact, on average and at once."""

DIALBACKS_UNDER_WAY = 64
"""Dial-backs for others that a node waits for at one time, for 1.5 s at most: of the
REQUESTS_OUTSTANDING nearly all so stay its own, however many identities ask."""

PEER_RECORD_PAUSE_S = 5.0
"""Between two peer records that are published because our addresses changed."""

HOST_CHECKED_S = 4.0
CLOCK_JUMP_S = 5.0
"""How often a node looks at its host addresses and clocks, and how far these must part to show
that the machine slept."""

# What a node tells and keeps of what goes wrong ------------------------------------------------

LOG_LINES = 20
LOG_PERIOD_S = 60.0
"""Lines that one place in the code logs in such a time; how many more there were is told with the
next one. Peers cause most of them, and a log on a disk must not fill it: 30 places come to 90 MB a
day at most."""

LOG_PLACES = 1024
"""Places whose lines are counted: all that there are in our code and in libraries below it."""

LOG_FILE_BYTES = 2**20
"""The log file in a home, which is renamed when it is full; of the one before nothing is kept."""

DEFECTS_KEPT = 32
"""Exceptions that no code foresaw, kept by one owner of tasks: each keeps its frames alive."""

# Content ------------------------------------------------------------------------------------

CHUNK_BYTES_MAX = 256 * 1024
"""Of plaintext; part of the wire form. How a publisher cuts below that is `chunking`'s."""

FINE_MOD_BYTES = 64 * 2**20
"""A mod of more is cut four times as coarsely: its manifest, which each update fetches whole, would
cost more than what finer chunks save around two edits, or four of what packs to half."""

FINE_RUN_BYTES = 4 * 2**20
"""A file or member of more is cut coarsely in any mod: an edit of 3 % of it is as long as the
coarse chunks around it, and four times as many chunks cost a swarm a fifth of its rate."""

CONTAINER_MEMBERS = 2**16
CONTAINER_DIRECTORY_BYTES = 4 * 2**20
"""Of an archive that is cut at its members when it is shared: it may be another person's."""

SEALED_CHUNK_BYTES = CHUNK_BYTES_MAX + 17
"""A chunk that did not compress: codec byte, plaintext, GCM tag."""

MANIFEST_BYTES = 64 * 2**20
"""A manifest of a mod of about 50 GB."""

MANIFEST_CHUNKS = 2**20
MANIFEST_FILES = 200_000
"""Chunks and files of one mod."""

SHARE_BYTES = MANIFEST_CHUNKS * CHUNK_BYTES_MAX
"""No more can be one mod, however large its chunks are: 256 GiB."""

SHARE_STORED_BYTES = 80 * 2**30
"""What the files of a folder to share take of the disk, without holes and each counted once: a
manifest lists the chunks of some 74 GiB that do not repeat."""

MANIFEST_FOLDERS = 200_000
"""Folders that the file paths of one manifest name: bounds what checking them allocates."""

FILE_PATH_BYTES = 4096
NAME_BYTES = 255
"""A file path in a mod, and one component of it, which is the limit of every common file system.
Where a path is longer than a system takes at once, it is opened folder by folder."""

MOD_BYTES = 2**40
MOD_NAME_BYTES = 200
"""All files of a mod together, and its name in UTF-8."""

VERSIONS_WALKED = 256
VERSIONS_SHOWN = 20
"""Manifests that are fetched to find a version by its number, or whether the newest one follows
what was shared here; and to list the newest ones."""

FORK_AGAIN_S = 6 * 3600.0
"""The longest until a publisher that could not find out whether its lineage has forked tries again:
each try costs the lookup of a mod. The pauses begin with FOLLOW_AGAIN_S, each twice as long."""

FOLLOWS = 256
FOLLOW_POLL_S = 270.0
"""Lineages that a node follows, and the longest until each is polled again: five minutes with what
the poll itself takes."""

FOLLOW_AGAIN_S = 15.0
FOLLOW_OTHER_S = 1.0
"""Until a poll that no node answered, or a version that could not be had, is tried again, and until
another version is tried then: twice as long after each failure, and FOLLOW_POLL_S at most."""

FOLLOW_SPREAD_S = (4.0, 30.0)
FOLLOW_DOUBLINGS = 10
"""A follower that hears of a version by a link asks linked peers alone for so long at most: where
none of them follows, and where one does. In each tenth of that time twice as many followers begin
to look it up as in the one before, so that in the first one of 1023 does."""

FOLLOW_START_S = 0.25
FOLLOW_POLLS = 4
FOLLOW_POLL_TURN_S = 2.0
FOLLOW_UPDATES = 4
FOLLOW_UPDATE_TURN_S = 60.0
"""At a node's start the first polls are spread by chance over so many seconds for each lineage that
it follows. So many polls, and updates, go on at one time. One that takes longer than its turn does
not count any more, so that silent nodes and slow peers keep no others back: all are polled within
4 min."""

UPDATE_GROWTH = 2
"""An update that takes more than so many times the version before of the disk waits for a yes."""

VERSIONS_KEPT = 2
"""Versions of what is followed that the vault keeps, so that a person can go back."""

PATCHES = 4
"""That one version names: each leads to it from another version."""

WALK_ENTRIES = 2**20
"""What a walk of a folder to share looks at, left out or not: five times what a mod may have."""

WALK_LINKS = 10_000
"""Links to folders that one walk follows: 18 folders with two links each to the one before have
2**18 paths, and each costs as much as a folder."""

FOLDER_PROBLEMS_TOLD = 20
"""Reasons why a folder cannot be shared as it is, told at once; of more their number is told."""

LEFT_OUT_SHOWN = 10
"""Paths that a share left out, as far as they are named."""

IGNORE_FILE_BYTES = 2**16
IGNORE_PATTERNS = 1024
IGNORE_PATTERN_CHARS = 1024
EXCLUDES = 64
"""A `.modswarmignore`, the patterns of one share, one of them, and those of `--exclude`."""

IGNORE_WORK = 2**27
"""Comparisons of a name with a part of a pattern in one share, each at most 256 products of their
lengths: 2**20 names beside 128 patterns take a minute. Another person may have written
the patterns."""

GET_BYTES = 20_000_000_000
"""What a `get` may write unless a person was asked or another bound given: few mods have more."""

DISK_ENTRY_BYTES = 4096
"""What a file system needs for a file or a folder besides the bytes of files, amply: a mod of no
bytes at all may have 200 000 of each."""

DISK_KEPT_FREE = 2**30
DISK_KEPT_PART = 20
"""What a vault and a download leave free on a disk: so much, or one in so many of its bytes,
whichever is less."""

DISK_RESERVE = 2 * 2**20
"""What a node keeps on its vault's disk besides, to give it up where removing a mod or starting
needs room; on a small disk a sixteenth of it."""

VAULT_BYTES = 20 * 2**30
VAULT_DISK_PART = 10
"""What mods in a vault take that are neither pinned nor in use, unless a person says otherwise: so
much, or one in so many of the disk's bytes, whichever is less."""

DEAD_PART = 5
"""At most one in so many bytes of a vault's packs is needed by no mod, where the disk has room:
beyond that the rest of some packs is copied, at most DEAD_PART - 1 bytes for each that it frees."""

VAULT_CHECK_S = 600.0
"""How often a vault is kept within that; after each download besides."""

LITTER_KEPT_S = 60.0
"""What a share stored that failed stays so long, if the disk has room, so that its repetition seals
little anew."""

CUT_SHORT_KEPT_S = 24 * 3600.0
"""What came of a download that was cut short stays so long whatever the budget says: who gave the
command was told that it goes on from there."""

USED_STEP_S = 3600.0
"""When a mod was last used is recorded no more often than this."""

SERVED_LATELY_S = 30.0
"""A mod is in use for so long after a peer was sent a chunk of it, the last one of each peer: so no
peer keeps more than one mod in a vault."""

USAGE_CHUNKS = 2**14
"""Chunks of a mod that are looked at in one job of the vault to learn what it takes."""

PLAIN_FACTOR = 100
PLAIN_FREE_BYTES = 64 * 2**20
"""What a mod may become of its sealed bytes, besides what any may have, unless a person agrees."""

PATHS_SHOWN = 10
"""Paths of a mod's files that a person is shown before it is fetched."""

MODS_OPENED = 2
MODS_OPENED_S = 300.0
"""Manifests that are kept opened, and for how long after one was needed: a person has so long to
answer whether it shall be fetched. The longest take 150 MB."""

ZSTD_WINDOW_BYTES = 8 * 2**20
"""What every Zstandard decoder must support (RFC 8878, 3.1.1.1.2): bounds its memory."""

PATCH_PART_BYTES = 64 * 2**20
PATCH_PART_CHUNKS = 4096
"""Plaintext of the base that one part of a patch refers to, and as much that it yields, in so many
chunks each: its reader holds both in memory, and its maker tables of 50 MB besides."""

PATCH_WINDOW_BYTES = 2 * PATCH_PART_BYTES
"""From the last byte that a part yields back to the first that it refers to."""

PATCH_WORTH_BYTES = 2**16
"""What a patch must spare at least, as it costs a lookup, a manifest and a record of its own."""

PATCH_FRAME_MORE_BYTES = 2**12
"""A frame may be so much larger than what it becomes: 128 KiB that do not compress take 3 more."""

HINTS = 8
HINT_BYTES = 120
"""Hints in a modswarm link, and the length of one: an address, a port and a peer id."""

ORIGINS_NAMED = 3
ORIGIN_BYTES = 200
"""HTTP origins that a link or a lineage's record names, and the length of one's URL: all fits a
record."""

ORIGINS_CONFIGURED = 8
"""Origins of this node's own settings, each of which is asked for every mod that is fetched."""

ORIGINS_REMEMBERED = 256
ORIGIN_ANSWERS_REMEMBERED = 4096
"""Origins, and mods at origins, whose failures are known; and mods and lineages for which a person
said whether their origins are asked."""

ORIGIN_FAILURES = 3
ORIGIN_RETRY_S = 1.0
ORIGIN_REST_S = 120.0
ORIGIN_REST_MAX_S = 3600.0
ORIGIN_RESTS_COUNTED = 16
"""After so many failures in a row, with a pause between them, an origin is left alone: half that
rest to all of it, twice as long each time, up to an hour."""

ORIGIN_CONNECTIONS = 4
ORIGIN_CONNECTIONS_ALL = 64
ORIGIN_CONNECT_S = 8.0
ORIGIN_READ_S = 30.0
"""Requests to the server of an origin at once, and to all servers of origins; how long one may take
to connect, and send nothing."""

ORIGIN_TURN_S = 2.0
"""So long one of these lasts at most while another download has none of them and waits, or has
fewer by two; a range that is asked for then is about half as long."""

ORIGIN_REDIRECTS = 5
ORIGIN_REDIRECT_BYTES = 2048
"""Redirects of one request that are followed, and the length of an address that they name."""

RANGE_BYTES_MIN = 2**20
RANGE_BYTES_MAX = 4 * 2**20
RANGE_AHEAD_BYTES = 2**19
"""Neighbouring chunks are asked of an origin in ranges of about so many bytes, the next one while
so much is to come at least."""

HTTP_CLIENTS = 64
HTTP_CLIENTS_PER_NETWORK = 16
HTTP_HEAD_BYTES = 8192
HTTP_FIELDS = 64
HTTP_HEAD_S = 10.0
HTTP_TAKE_S = 20.0
HTTP_KEPT_S = 60.0
"""Connections of HTTP clients, and those of a public /24 or /48, or a private host; a request's
head, its fields, and how long it may take to come; how long a client may take for HTTP_QUEUE_BYTES,
or a chunk; after how long a place may go to a network without any, or to another client of one that
has all of its places."""

HTTP_ARRIVALS = 64
HTTP_QUEUE_BYTES = 2**17
HTTP_LINGER_S = 2.0
"""Connections that the system keeps for this node to take; bytes that wait for one client; how long
what was sent last may take to arrive before its connection ends."""

HTTP_LAYOUTS = 16
HTTP_TAKEN = 1024
"""Mods of which it is remembered where chunks lie, and pairs of a network and a mod for which the
bytes that went there are."""

WHOLE_WASTE_BYTES = 64 * 2**20
"""A server without ranges sends a file from its beginning: so much may come in vain, and as much
as came of use."""

LINK_TEXT_BYTES = 2048
"""A modswarm link as text: two keys and every hint."""

PATH_CHARS = 4096
"""A whole path on this machine, in a request to the control API."""

PASTED_CHARS = 8192
"""What people paste as a link, a peer id or an address: a message, with the text around it."""

PASTED_LINKS = 64
"""Links in such a text, of which all must be one: the work for each is bounded by the text."""

STREAMS_PER_LINK = 64
"""Downloads that one peer may run over one link at once."""

OPENS_PER_SECOND = 20.0
OPENS_BURST = 2.0 * STREAMS_PER_LINK
"""Streams that one peer opens, later ones wait: with each comes the right to a manifest. A download
opens one."""

CONTENT_REQUESTS_PER_SECOND = 32.0
CONTENT_REQUESTS_BURST = 1024.0
CHUNKS_PER_REQUEST_UNIT = 64
PEER_BUDGETS = 4096
"""Requests of one peer, on whatever links, besides one for each chunk that was sent to it; one of
so many chunks counts twice. A download needs five. Each costs up to 0.3 ms, so ten attackers cost a
tenth of a core. And the peers that this is remembered of: 1 MB."""

LINE_TURNS = 4
LINE_TURNS_OPTIMISTIC = 1
LINE_TURNS_OF_A_NETWORK = 1
LINE_TURNS_BEHIND_RELAYS = 2
"""Slots of the choker: links that send content at once; how many are for peers that give nothing
while others want them that do; and how many of one network, and of all peers behind relays, while
another wants to. Few, so that the line goes to those whose turn it is, and more than one, so that
it is full while one reads."""

GIVER_BYTES = 2**16
GIVER_TAKES = 4
"""A peer gives from so many verified bytes lately, as long as it was sent at most so many times as
much: with one chunk a colluder would else keep a regular slot."""

LINE_SLICE_S = 0.1
LINE_LAPSE_S = 1.0
LINE_FORGOTTEN_S = 10.0
LINE_REST_BYTES = 2**15
"""A turn is so long while others wait; it then ends once so little is queued on its link. It holds
up no other once nothing was taken for LINE_LAPSE_S, and none of its own network LINE_FORGOTTEN_S
after it began: what is queued on a link leaves in that time at 30 kB/s."""

LINE_AGAIN_EACH = 8
LINE_AGAIN_PATIENCE_S = 1.0
"""Turns for what a peer has had take at least this part of the time of one of LINE_TURNS, so 1/32
of a full line. Such a turn is waited for so long, then what else its link has to send is looked
for."""

LINE_NETWORKS = 1024
LINE_PEERS = LINKS
"""Networks, and peers of private ones, of which the time that they held turns is remembered: four
times those that LINKS can come from, 100 kB; and so many peers behind relays, as long as one of
them has a turn or wants one."""

READ_AHEAD_BYTES_MIN = 2**16
READ_AHEAD_BYTES_MAX = 2**20
"""Chunks read from the vault at once for one link, which are then sent: so many at first and after
a cancel, which made a reading vain, and twice as many after each that was sent."""

MANIFEST_CHECKED_S = 600.0
"""For how long a manifest that hashed to its mod id is not hashed again, however often peers ask:
one of 64 MiB takes 0.1 s."""

REQUESTS_PER_STREAM = 1024
"""Chunks asked for and not yet sent on one stream: twice the widest window of coarse chunks."""

LACKING_CHUNKS = 64
"""Chunks that a source may lack though it announced them, besides twice those that it sent: what it
lost since it announced them. One that lacks more is left: each costs a new search for another."""

WINDOW_S = 3.0
WINDOW_BYTES_MIN = 256 * 1024
WINDOW_BYTES_MAX = 32 * 2**20
"""What is asked of one source ahead of its answers: three seconds at its rate, within these."""

WINDOW_PARTIAL_S = 1.0
WINDOW_PARTIAL_BYTES_MIN = 96 * 1024
"""The same for a source that has a part: a getter as well, whose line many share."""

WINDOWS_BYTES = 128 * 2**20
"""What is asked ahead of all sources of one download: it may all come before the disk is ready."""

HAVES_WITHOUT_NEWS = 8
"""Messages of one source about what it holds that add nothing: honest ones send hardly any."""

HAVE_BYTES_PER_SECOND = 2.0**18
HAVE_BYTES_BURST = 2.0**22
"""What a peer tells of what it holds, on one stream: honest ones tell once a second, at most a
bit for each of MANIFEST_CHUNKS (128 KiB), and half a minute of it at once after a line stood."""

SEED_PARTIES = 3
"""Networks, or peers of private ones, from which a mod must be fetched at once for each getter to
be shown parts of it: identities of one network alone change nothing for others."""

SEED_UNITS = 4096
SEED_UNITS_SHOWN = 2
SEED_UNUSED_S = 1.5
SEED_AGAIN_S = (0.05, 3.0)
SEED_QUICK_S = 0.5
SEED_SLOW_S = 3.0
"""A mod of which several getters are shown parts, in so many units at most: 0.5 MB a mod; how many
one is shown first; after how long without asking for any it is shown more, and after how long, at
least and at most, what others were shown before it, while the line is busy; and the time for one
portion below which the next is twice as large, and above which half; one of which nothing is asked
makes the next four times as large."""

ANNOUNCED_S = 2.0
"""How soon after chunks came a node looks whether to announce their mod, and how seldom at most:
each mod is published twice at most by that, as partial and as complete."""

PEERS_NAMED = 16
PEERS_NAMED_FIRST_S = 0.1
PEERS_NAMED_S = (1.0, 60.0)
"""Peers that one frame names; how soon after a stream has others the first one is sent, and the
pauses before further ones, the first and the longest, each twice as long as the one before: getters
that start together meet by them within a second, and each is told of 16 others by 330 B."""

PEERS_FRAMES_PER_SECOND = 1.0
PEERS_FRAMES_BURST = 8.0
"""Such frames that one stream may bring: an honest holder sends fewer."""

FELLOWS_CALLED = 12
FELLOWS_CALLED_OF_ONE = 4
"""Peers that sources named are called while fewer sources than this serve, are tried or are called;
and so many at once by the word of one source of whose names none has been linked."""

NAMES_WAITING = 64
NAMES_DEAD = 4
NAMES_TRIED = 1024
"""Names that wait for their call; how many more dead than linked ones cost a source its say; and
how many are remembered, so that none is called a second time because it is named again."""

NAMED_AGAIN_S = 0.25
"""The least time between two rounds of calls to peers that were named, for which no record is read
anew."""

LATE_ANSWERS_BYTES = 2**16
LATE_ANSWERS_BYTES_MAX = 32 * 2**20
"""Answers of a link on streams of ours that are closed: so much for each stream besides what its
peer owed there, and at most twice what a link's windows and its sender's queue hold."""

LATE_S = 0.4
LATE_BYTES_PER_SECOND = 1_000_000
"""A source that owes a manifest or a chunk is late after this and the time of its length at this
rate: what it owes is then asked of others as well, as far as they have nothing else to send."""

LATE_PACE = 3
"""A source that has a part of the mod is late after so many times what a chunk takes at its own
pace, or at that of others until it has one: it shares its line with other getters, and is not
asked for copies in vain."""

ASKED_AT_ONCE = (1, 2, 16, 64, 256)
"""Of how many sources that are not late one chunk is asked: by how often the source asked first
could have sent it, or the one asked last had nothing to do; 256 are all that there may be."""

SPARE_S = 1.0
SPARE_MORE_S = 0.25
"""A source with nothing to do for so long, in a whole download and while nothing waits, could have
sent what others owe; and again after each further time. Honest ones seldom wait so long."""

BEHIND_S = 1.0
"""A source that needs longer than this for the last chunks gives them to one that has nothing to
do."""

STALL_S = 10.0
STALL_PROVED_S = 2.0
STALL_PACE = 4
"""After so long without a whole chunk a source's requests go to others, if there are any: a source
with a pace of its own after the shorter time and this many times what a chunk takes at that pace.
An answer to Open may take STALL_S where no round trip was measured."""

OPEN_ANSWER_S = 5.0
OPEN_ANSWER_TRIPS = 10
"""An answer to Open may take so long and so many round trips of its link, SILENT_S at most: for a
holder's disk and what waits in its line. So a dead link is left sooner, and a slow one is not."""

SILENT_S = 60.0
LEAST_BYTES_PER_SECOND = 2048
"""After so long and the time of what it owes at this rate, a source counts as gone, though its
link stands: 3 minutes for the longest chunk."""

MANIFESTS_RACED = 3
MANIFEST_RACE_BYTES = 2**20
"""Sources that are asked for the manifest at once, none of them late, and what they announce
together unless it is one: so a manifest for a mod of about 800 MB. For each that is late or has
left, one more may be asked, and the bytes that it announced."""

MANIFEST_SHORT_BYTES = 2**16
"""Between sources that announce no more chance decides: a manifest for a mod of about 50 MB."""

MANIFEST_WAIT_BYTES_PER_SECOND = 2**24
"""A source that announces more than MANIFEST_RACE_BYTES is asked only after the time of that length
at this rate, at most 4 s: others may announce less, and all but one length are lies."""

MANIFESTS_GATHERED_BYTES = MANIFEST_BYTES
"""What all sources that are asked for one manifest have announced together, unless it is one; what
those announce that are asked after a long one counts without it."""

DIRTY_BYTES = 32 * 2**20
"""Fetched chunks in memory, not yet on disk: beyond it nothing more is asked for."""

BACKGROUND_CPU_MS_PER_SECOND = 50.0
BACKGROUND_CPU_MS_BURST = 50.0
"""CPU that work takes for which no person waits (scrubbing, caching, sealing ahead): 5 % of a core;
and so much of it at once after a rest: a game misses three frames at most."""

BACKGROUND_LINK_MS_PER_MB = 12.0
"""CPU that a fetched MB counts besides its storing: a link's work is among that of others."""

REPAIR_S = 3600.0
"""How long a mod that a check found damaged is fetched at most, where no person waits for it."""

ASKS_OF_NETWORK = 64
ASKS_COUNTED = 16384
"""Which networks asked for which mods is counted for so many mods of a network, and so many pairs
in all: 2 MB. Beyond it a network displaces its own asks first, then those of who has most."""

CACHE_ASKERS = 4
CACHE_DAYS = 2
CACHE_WEEK_DAYS = 7
"""A mod is popular that peers of so many networks asked for within a week, on so many days of it at
least: who hires addresses must keep them overnight."""

CACHE_SOURCES = 3
"""A mod with so many complete holders needs no cache."""

CACHE_MOD_PART = 10
"""A mod takes at most one in so many of a cache's bytes."""

CACHE_CHECK_S = 600.0
CACHE_TRIES = 4
CACHE_FETCH_S = 3600.0
CACHE_AGAIN_S = 86_400.0
"""So often a cache looks for popular mods, so many of them at a time, one after another, each for
so long at most; one that was looked at is left alone for a day."""

SCRUB_EVERY_S = 30 * 86_400.0
SCRUB_LOOK_S = 600.0
"""All bytes of a vault are checked so often without being asked to, while no mod is in use; and
so often a node looks whether it is time."""

RATE_LIMIT_MIN = 10_000
RATE_LIMIT_MAX = 10_000_000_000
RATE_LIMIT_BURST_S = 0.5
"""Bytes a second that a person may limit content to: with the least, each of LINE_TURNS is still
faster than LEAST_BYTES_PER_SECOND. After a rest so many seconds' worth goes at once."""

SCHEDULE_PARTS = 48
"""Parts of a day with a rate of their own: each half an hour."""

DOWNLOADS_QUEUED = 1000
DOWNLOADS_REMEMBERED = 100
"""Downloads that a person has in the queue: its file is written at each change, 0.5 MB at most. And
those that have ended and are still listed."""

DOWNLOADS_AT_ONCE = 3
DOWNLOADS_AT_ONCE_MAX = 64
"""Downloads of the queue that go on at once, unless a person sets it: more share one line, and all
come late."""

DOWNLOAD_RETRY_S = 60.0
DOWNLOAD_RETRY_MAX_S = 3600.0
"""After so long a download of the queue is tried again that no peer serves, and after twice as long
each further time, up to the longer one."""

SOURCES_SHOWN = 16
"""Sources of a download whose rates a person is told: the fastest."""

RATE_CHARS = 64
"""A rate in a request to the control API, with blanks around it."""

# Streams ------------------------------------------------------------------------------------

STREAMS = 64
STREAMS_PER_NETWORK = 8
STREAMS_FOR_NEWCOMERS = 16
STREAM_TENURE_S = 30.0
"""Streams of a gateway, and as links: what one public /24 or /48 keeps, the part that is kept for
peers of no use yet, and how long a stream is kept that is of none."""

STREAM_HANDSHAKES = 32
STREAM_HANDSHAKES_PER_NETWORK = 8
STREAM_HANDSHAKE_S = 10.0
STREAM_ARRIVALS = 64
"""Connections that have proved no peer yet, in all and of one network, and for so long; the oldest
goes for a new one. And those that the system keeps until they are taken."""

STREAM_HANDSHAKES_PER_SECOND = 2
STREAM_HANDSHAKE_BURST = 16
"""Of one host: a handshake of TLS costs a gateway 1 ms."""

STREAM_DATAGRAM_BYTES = 1500
"""As Ethernet's packets: what is longer would not arrive behind the gateway either."""

STREAM_FRAMES_PER_SECOND = 2**14
STREAM_FRAMES_BURST = 2**11
STREAM_FRAMES_AT_LEAST = 2**8
"""Frames of one stream that an end reads, and at once; the others wait in TCP, until so many may be
read: 20 MB/s of large packets. The smallest ones cost 5 us each, so that without it what a socket
brings at once would stop a node for 0.2 s."""

STREAM_BYTES_PER_SECOND = 2**15
STREAM_BURST_BYTES = 2**17
"""What a gateway forwards of a stream's DHT datagrams, each way: a node that joins needs 100 kB in
its first seconds. Relayed links have the relay's own limits."""

STREAM_CONTACTS = 1024
STREAM_HEARD_S = 120.0
"""Addresses that a stream's answers may come from, for so long after the client sent there."""

CONTACT_ADDRESSES_S = 1.0
"""How old the list of addresses of contacts may be."""

STREAM_UNPROVED = 2**14
STREAM_UNPROVED_DATAGRAMS = 2
STREAM_UNPROVED_S = 60.0
"""What an address that has not answered gets by a gateway, from all streams, in so many seconds;
and of how many that is remembered: of all that its streams may try in that time."""

STREAM_TRIED_PER_SECOND = STREAM_UNPROVED / STREAM_UNPROVED_S / STREAMS
STREAM_TRIED_BURST = 2**9
"""Datagrams of one stream to addresses that have not answered: 4 a second. A node that joins tries
some hundred contacts; who scans for hosts would try thousands a second."""

STREAM_DATAGRAMS_PER_ADDRESS = 400
STREAM_ADDRESS_PART = 2
"""Datagrams a second to one address that answers, of all streams of a gateway: a contact takes
REQUESTS_PER_SECOND_PER_HOST of one host, and the gateway needs some of them itself. One stream gets
133 a second, and more of them share what is left."""

STREAM_QUEUE_BYTES = 2**18
STREAM_UNSENT_BYTES = 2**17
"""What waits in a stream before datagrams are dropped, as a router with a full queue does: 20 ms at
13 MB/s. And of it what the system takes in: its own buffer would hide seconds of queue."""

STREAM_UNREAD_BYTES = 2**11
"""What an end keeps before the handshake: more than any of its messages, or a proxy's answer."""

STREAM_ASKED_S = 15.0
STREAM_SILENT_S = 40.0
"""A client asks so often whether its gateway is there, before proxies forget the connection; who
hears nothing for so long ends the stream."""

STREAM_CONNECT_S = 5.0
STREAM_DIALS = 4
STREAM_DIALS_S = 1.0
STREAM_DIALS_MAX = 16
STREAM_PORT = 443
"""How long a connection may take, how many gateways are tried within so many seconds and at once,
and the port that the networks of companies let through."""

STREAM_HINTED = 4
"""Nodes named by links that are fetched now which a blocked node without a stream dials as well: a
link's maker chose them."""

STREAM_GATEWAYS = 2
STREAM_RETRY_S = (1.0, 60.0)
STREAM_UNUSED_S = 120.0
"""A blocked node keeps so many streams; one that ends is followed by another after the first pause,
which doubles up to the longer one. One that was opened for a relay ends when it has relayed nothing
for so long."""

UDP_SILENT_S = 2.0
UDP_SILENT_CONTACTS = 3
UDP_LOOK_S = 0.5
"""A node that asked so many contacts by UDP, and heard nothing for so long, tries streams; so often
it looks."""

UDP_ASKED = 8
UDP_CONFIRM_S = 0.5
"""Before it does, it asks so many nodes at once by UDP, and waits so long: some contacts may be
dead."""

UDP_PROBE_S = (15.0, 60.0)
"""A node with streams tries UDP again so soon, and later each time, up to the longer pause."""
