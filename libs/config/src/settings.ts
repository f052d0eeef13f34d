/** One setting: where it comes from and what it means. The table in docs/operations.md is made from these. */
export interface Setting {
  readonly variable: string;
  /**
   * `secret` and `secret-bytes` (hex) are read from the file that VARIABLE_FILE names, or from the systemd credential
   * VARIABLE; `file` from the file that VARIABLE names.
   */
  readonly type: 'string' | 'number' | 'address' | 'file' | 'secret' | 'secret-bytes';
  readonly meaning: string;
  readonly default?: string;
  readonly optional?: true;
  readonly values?: readonly string[];
}

/** Every setting of every process. `fleetroot up` sets them all for a small installation. */
export const settings = {
  databaseUrl: { variable: 'FLEETROOT_DATABASE_URL', type: 'secret', meaning: 'PostgreSQL URL of the ledger, with user and password' },
  statusDatabaseUrl: { variable: 'FLEETROOT_STATUS_DATABASE_URL', type: 'secret', meaning: 'PostgreSQL URL of a role that may only SELECT; the status app uses no other' },
  databasePool: { variable: 'FLEETROOT_DATABASE_POOL', type: 'number', default: '8', meaning: 'connections to PostgreSQL a process opens at most' },
  ledgerKey: { variable: 'FLEETROOT_LEDGER_KEY', type: 'secret-bytes', meaning: '32 octets in hex that seal VINs and pending requests, and that serial numbers derive from' },
  queueBackend: { variable: 'FLEETROOT_QUEUE', type: 'string', default: 'postgres', values: ['postgres', 'redis'], meaning: 'where BullMQ keeps its jobs' },
  redisUrl: { variable: 'FLEETROOT_REDIS_URL', type: 'secret', optional: true, meaning: 'Redis URL, where FLEETROOT_QUEUE is redis' },
  apiListen: { variable: 'FLEETROOT_API_LISTEN', type: 'address', default: '127.0.0.1:8080', meaning: 'where the REST API listens' },
  deviceListen: { variable: 'FLEETROOT_DEVICE_LISTEN', type: 'address', default: '127.0.0.1:8443', meaning: 'where the api listens for ECUs by mutual TLS' },
  deviceHost: { variable: 'FLEETROOT_DEVICE_HOST', type: 'string', default: 'localhost', meaning: 'DNS name in the device listener\'s TLS certificate' },
  deviceTlsDir: { variable: 'FLEETROOT_DEVICE_TLS_DIR', type: 'string', meaning: 'folder where the device listener keeps its TLS key and certificate' },
  statusListen: { variable: 'FLEETROOT_STATUS_LISTEN', type: 'address', default: '127.0.0.1:8081', meaning: 'where the status app listens: OCSP, CRLs, CA certificates, truststores' },
  statusInternalListen: { variable: 'FLEETROOT_STATUS_INTERNAL_LISTEN', type: 'address', default: '127.0.0.1:8082', meaning: 'where the status app hands its OCSP signer request to the worker; not for the public' },
  statusInternalUrl: { variable: 'FLEETROOT_STATUS_INTERNAL_URL', type: 'string', default: 'http://127.0.0.1:8082', meaning: 'where the worker finds that listener' },
  statusEnrolmentSecret: { variable: 'FLEETROOT_STATUS_ENROLMENT_SECRET', type: 'secret', meaning: 'shared by status and worker: authenticates OCSP signer requests (HMAC-SHA-256)' },
  statusPublicUrl: { variable: 'FLEETROOT_STATUS_PUBLIC_URL', type: 'string', default: 'http://127.0.0.1:8081', meaning: 'base of the URLs in AIA and CDP; baked into certificates' },
  statusCrlMemoryMb: { variable: 'FLEETROOT_STATUS_CRL_MEMORY_MB', type: 'number', default: '256', meaning: 'megabytes of CRLs that the status app keeps in memory, their gzip included ([more](publishing.md#memory)); the one asked for last is kept whatever its size' },
  issuingCa: { variable: 'FLEETROOT_ISSUING_CA', type: 'string', default: 'ecu-issuing', meaning: 'name of the CA that issues for lines, gateways and first connections' },
  profilesDir: { variable: 'FLEETROOT_PROFILES_DIR', type: 'string', default: 'hsm-config/profiles', meaning: 'folder of the profile files' },
  hsmModule: { variable: 'FLEETROOT_HSM_MODULE', type: 'string', default: '/usr/lib/softhsm/libsofthsm2.so', meaning: 'PKCS#11 library' },
  caTokenLabel: { variable: 'FLEETROOT_CA_TOKEN_LABEL', type: 'string', default: 'fleetroot-ca', meaning: 'label of the token that holds the CA keys' },
  caTokenPin: { variable: 'FLEETROOT_CA_TOKEN_PIN', type: 'secret', meaning: 'its user PIN; only the issuer and a ceremony read it' },
  ocspTokenLabel: { variable: 'FLEETROOT_OCSP_TOKEN_LABEL', type: 'string', default: 'fleetroot-ocsp', meaning: 'label of the status app\'s own token' },
  ocspTokenPin: { variable: 'FLEETROOT_OCSP_TOKEN_PIN', type: 'secret', meaning: 'its user PIN' },
  hsmDeadlineMs: { variable: 'FLEETROOT_HSM_DEADLINE_MS', type: 'number', default: '3000', meaning: 'how long one call to the HSM may take, in milliseconds' },
  hsmSessionCopies: { variable: 'FLEETROOT_HSM_SESSION_COPIES', type: 'string', default: 'try', values: ['try', 'never'], meaning: 'sign with session copies of token keys where the HSM allows them (faster in SoftHSM)' },
  hsmSessions: { variable: 'FLEETROOT_HSM_SESSIONS', type: 'number', default: '1', meaning: 'sessions that an issuer signs through at once, each in a process of its own; more than one pays where the HSM is across a network' },
  hsmPatienceMs: { variable: 'FLEETROOT_HSM_PATIENCE_MS', type: 'number', default: '10000', meaning: 'how long a signature waits for an HSM that is away before it is given back, in milliseconds' },
  hsmProbeSeconds: { variable: 'FLEETROOT_HSM_PROBE_SECONDS', type: 'number', default: '5', meaning: 'how often each session with the HSM is tried, in seconds; 0: never' },
  hsmShares: { variable: 'FLEETROOT_HSM_SHARES', type: 'string', default: 'line=60,renewal=15,ocsp=10,crl=10,administration=5', meaning: 'part of the HSM\'s signatures that each purpose is sure of, in percent; what one leaves the others take' },
  issuerConcurrency: { variable: 'FLEETROOT_ISSUER_CONCURRENCY', type: 'number', default: '4', meaning: 'chunks that one issuer works on at once' },
  issuerNiceness: { variable: 'FLEETROOT_ISSUER_NICENESS', type: 'number', default: '5', meaning: 'niceness (0 to 19) of issuers and of the processes that drive their HSM: whoever waits for one certificate needs api and PostgreSQL while a batch keeps every processor busy' },
  chunkItems: { variable: 'FLEETROOT_CHUNK_ITEMS', type: 'number', default: '500', meaning: 'items a job issues' },
  staleAfterMs: { variable: 'FLEETROOT_STALE_AFTER_MS', type: 'number', default: '6000', meaning: 'silence after which an issuer counts as dead and its chunk is taken over, in milliseconds; a living one is heard three times in it' },
  maxBatchItems: { variable: 'FLEETROOT_MAX_BATCH_ITEMS', type: 'number', default: '1000000', meaning: 'items a batch may have' },
  issueTimeoutMs: { variable: 'FLEETROOT_ISSUE_TIMEOUT_MS', type: 'number', default: '15000', meaning: 'how long POST /v1/certificates waits for the certificate, in milliseconds' },
  revokeApprovals: { variable: 'FLEETROOT_REVOKE_APPROVALS', type: 'string', default: '1000=1,100000=2', meaning: 'how many other administrators must approve a [revocation](revocation.md) of so many certificates or more: TARGETS=APPROVALS, and the next; `0`: nobody' },
  madeKeyMinutes: { variable: 'FLEETROOT_MADE_KEY_MINUTES', type: 'number', default: '1440', meaning: 'how long a private key that was made here is held, encrypted, for a delivery that nobody acknowledges, in minutes' },
  authorizeProxies: { variable: 'FLEETROOT_AUTHORIZE_PROXIES', type: 'string', optional: true, meaning: 'proxies that may tell the authorizer in a header who their client is: FORM=ADDRESS[/BITS][+token], separated by spaces ([how](authorizer.md#proxies)); unset: none' },
  authorizeStaleSeconds: { variable: 'FLEETROOT_AUTHORIZE_STALE_SECONDS', type: 'number', default: '10', meaning: 'how long the authorizer believes what it knows while the database is away, in seconds (at most 30); then it lets nobody in' },
  authorizeMemory: { variable: 'FLEETROOT_AUTHORIZE_MEMORY', type: 'number', default: '10000', meaning: 'certificates that the authorizer remembers, at 3 KB each' },
  crlLifetimeMinutes: { variable: 'FLEETROOT_CRL_LIFETIME_MINUTES', type: 'number', default: '1440', meaning: 'nextUpdate minus thisUpdate of a CRL, in minutes' },
  crlDeltaMinutes: { variable: 'FLEETROOT_CRL_DELTA_MINUTES', type: 'number', default: '60', meaning: 'nextUpdate minus thisUpdate of a delta CRL, in minutes' },
  crlRefreshPercent: { variable: 'FLEETROOT_CRL_REFRESH_PERCENT', type: 'number', default: '50', meaning: 'part of its lifetime after which a CRL is published anew, in percent' },
  filterHours: { variable: 'FLEETROOT_FILTER_HOURS', type: 'number', default: '24', meaning: 'hours after which the revocation filter of each CA is published anew ([how](filter.md)); 0: only where it is asked for' },
  ocspSignerRefreshPercent: { variable: 'FLEETROOT_OCSP_SIGNER_REFRESH_PERCENT', type: 'number', default: '50', meaning: 'part of its lifetime after which an OCSP signer certificate is replaced, in percent' },
  ocspValidityMinutes: { variable: 'FLEETROOT_OCSP_VALIDITY_MINUTES', type: 'number', default: '60', meaning: 'nextUpdate minus thisUpdate of an OCSP answer, in minutes; caches between client and responder may keep it so long ([more](ocsp.md))' },
  ocspMemoryMib: { variable: 'FLEETROOT_OCSP_MEMORY_MIB', type: 'number', default: '64', meaning: 'memory for signed OCSP answers in each status app, in MiB; about 500 certificates a MiB' },
  ocspUnknownPerSecond: { variable: 'FLEETROOT_OCSP_UNKNOWN_PER_SECOND', type: 'number', default: '100', meaning: 'OCSP answers a second that are signed for serials that are not on record; beyond, the answer is tryLater' },
  keyBlocklist: { variable: 'FLEETROOT_KEY_BLOCKLIST', type: 'file', optional: true, meaning: 'file of compromised public keys, which get no certificate: SHA-256 of the SubjectPublicKeyInfo in hex, a line a key, `#` begins a comment; read when api and issuer start' },
  renewalWindowDays: { variable: 'FLEETROOT_RENEWAL_WINDOW_DAYS', type: 'number', default: '30', meaning: 'days before expiry from which an ECU is told to renew' },
  archiveAfterDays: { variable: 'FLEETROOT_ARCHIVE_AFTER_DAYS', type: 'number', default: '0', meaning: 'days after expiry from which the worker writes certificates to archive files and deletes them from the ledger ([how](ledger.md#archive)); 0: never' },
  archiveDir: { variable: 'FLEETROOT_ARCHIVE_DIR', type: 'string', optional: true, meaning: 'folder of the archive files; must be set where FLEETROOT_ARCHIVE_AFTER_DAYS is not 0' },
  copyDir: { variable: 'FLEETROOT_COPY_DIR', type: 'string', optional: true, meaning: 'folder that the worker keeps a copy of everything published in, for a web server or CDN ([how](publishing.md#copies-for-a-cdn)); it must be there' },
  copyS3Endpoint: { variable: 'FLEETROOT_COPY_S3_ENDPOINT', type: 'string', optional: true, meaning: 'URL of S3, or of a store with its protocol, that the worker copies everything published to; buckets come after it in the path' },
  copyS3Bucket: { variable: 'FLEETROOT_COPY_S3_BUCKET', type: 'string', optional: true, meaning: 'the bucket' },
  copyS3Region: { variable: 'FLEETROOT_COPY_S3_REGION', type: 'string', default: 'us-east-1', meaning: 'its region' },
  copyS3Prefix: { variable: 'FLEETROOT_COPY_S3_PREFIX', type: 'string', optional: true, meaning: 'comes before each path in the bucket; ends with a slash' },
  copyS3AccessKeyId: { variable: 'FLEETROOT_COPY_S3_ACCESS_KEY_ID', type: 'secret', optional: true, meaning: 'access key that may GET and PUT there' },
  copyS3SecretAccessKey: { variable: 'FLEETROOT_COPY_S3_SECRET_ACCESS_KEY', type: 'secret', optional: true, meaning: 'its secret' },
  fsckHour: { variable: 'FLEETROOT_FSCK_HOUR', type: 'number', default: '2', meaning: 'hour of the day (UTC, 0 to 23) at which the worker looks whether the invariants hold' },
  scheduleSeconds: { variable: 'FLEETROOT_SCHEDULE_SECONDS', type: 'number', default: '10', meaning: 'how often the worker looks whether something is due, in seconds' },
  apiUrl: { variable: 'FLEETROOT_API_URL', type: 'string', optional: true, meaning: 'where the commands of a line (`fleetroot line`) and `fleetroot revoke` find the REST API' },
  apiToken: { variable: 'FLEETROOT_API_TOKEN', type: 'secret', optional: true, meaning: 'bearer token that they call it with' },
  logLevel: { variable: 'FLEETROOT_LOG_LEVEL', type: 'string', default: 'info', values: ['debug', 'info', 'warn', 'error', 'silent'], meaning: 'least level that is logged' },
} as const satisfies Record<string, Setting>;
