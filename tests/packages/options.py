"""The sandboxing options of units, each tried alone: a unit with it starts, or systemd says why not."""

# Several words in one line: options that only mean something together.
OPTIONS = """
AmbientCapabilities=CAP_NET_BIND_SERVICE
BindReadOnlyPaths=/usr:/mnt
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
CPUSchedulingPolicy=batch
CPUSchedulingPolicy=rr
DeviceAllow=/dev/null
DevicePolicy=closed
DynamicUser=yes
DynamicUser=yes PrivateUsers=yes ProtectSystem=strict
InaccessiblePaths=/home
IOSchedulingClass=idle
IOSchedulingClass=realtime
IPAddressDeny=any
KeyringMode=private
LimitCORE=infinity
LimitMEMLOCK=64M
LimitMEMLOCK=infinity
LimitNOFILE=524288
LimitNOFILE=1048576
LimitNPROC=infinity
LoadCredential=try:/etc/hostname
LockPersonality=yes
LogNamespace=try
MemoryDenyWriteExecute=yes
MemoryMax=100M
MountAPIVFS=yes
Nice=-5
NoExecPaths=/tmp
NoNewPrivileges=yes
OOMScoreAdjust=-900
PrivateDevices=yes
PrivateIPC=yes
PrivateMounts=yes
PrivateNetwork=yes
PrivatePIDs=yes
PrivateTmp=yes
PrivateTmp=disconnected
PrivateUsers=identity
PrivateUsers=yes
PrivateUsers=yes User=daemon
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=strict
ProtectControlGroups=yes
ProtectHome=tmpfs
ProtectHome=yes
ProtectHostname=private
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=full
ProtectSystem=strict
ReadOnlyPaths=/etc
RemoveIPC=yes
RestrictAddressFamilies=AF_INET
RestrictFileSystems=~tracefs
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SecureBits=noroot
SocketBindDeny=any
StateDirectory=try
SystemCallArchitectures=native
SystemCallFilter=@system-service
TasksMax=50
TemporaryFileSystem=/var
UMask=077
""".split("\n")
OPTIONS = [line for line in OPTIONS if line]

# What the kernel gives to no user namespace, or does not do inside; the words are for the table.
LACKS = {
    "CPUSchedulingPolicy=rr": "the kernel gives real-time scheduling to the host's root alone; such a unit needs a drop-in without it",
    "IOSchedulingClass=realtime": "likewise",
}

# An option that this systemd does not know is no failure.
SCRIPT = r"""
while read -r line; do
    words=""; for word in $line; do words="$words -p $word"; done
    if told=$(systemd-run --quiet --wait --collect $words true 2>&1); then echo "$line|0"
    else code=$?; case $told in *parse*|*"Unknown assignment"*|*"nknown option"*) code=unknown;; esac; echo "$line|$code"; fi
done
"""

# Those that a table of packages shows.
KEYS = """
AmbientCapabilities CapabilityBoundingSet DeviceAllow DevicePolicy DynamicUser InaccessiblePaths LimitMEMLOCK LimitNOFILE
LockPersonality MemoryDenyWriteExecute NoExecPaths NoNewPrivileges OOMScoreAdjust PrivateDevices PrivateIPC PrivateMounts
PrivateNetwork PrivateTmp PrivateUsers ProcSubset ProtectClock ProtectControlGroups ProtectHome ProtectHostname
ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem RestrictAddressFamilies
RestrictNamespaces RestrictRealtime RestrictSUIDSGID SystemCallArchitectures SystemCallFilter
""".split()
