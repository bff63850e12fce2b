"""Which server packages are tried, and how one asks each whether it serves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Server:
    """One package, or a few that belong together; `name` is the first."""

    name: str
    unit: str
    # A shell script of a client, run inside: it ends with 0 if the server has answered, and repeats until patience ends.
    ask: str
    # What the client does, for the table.
    asked: str
    # What is prepared after the installation, such as an account; the unit is started again then.
    prepare: str = ""
    # Packages beside it: clients, mostly.
    more: tuple = ()
    # Answers to questions of the installation.
    answers: tuple = ()
    # Why it does not run here and what one does instead; empty if it runs.
    lacks: str = ""
    # What is to be known of it though it runs.
    note: str = ""


ACCOUNT = "id guest 2>/dev/null || useradd -m -s /bin/bash guest; echo guest:sesame | chpasswd; "
MAIL = 'echo "hello $$" | sendmail guest; for i in 1 2 3 4 5 6 7 8 9; do grep -q "hello $$" /var/mail/guest && exit; sleep 1; done; exit 1'
KEY = "mkdir -p /root/.ssh; test -f /root/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys"
WEBROOT = "mkdir -p /var/www; printf '<?php echo 6*7;' >/var/www/sum.php"
HTTP = "curl -fsS -m 10 http://127.0.0.1"

# One container each, so that nobody waits for a port of another.
GROUPS = {
    "web": [
        Server("nginx", "nginx", f"{HTTP}/ | grep -q nginx", "a page"),
        Server(
            "php-fpm",
            "php8.2-fpm",
            "SCRIPT_FILENAME=/var/www/sum.php REQUEST_METHOD=GET cgi-fcgi -bind -connect /run/php/php8.2-fpm.sock | grep -q 42",
            "a script",
            prepare=WEBROOT,
            more=("libfcgi-bin",),
        ),
        Server("redis-server", "redis-server", "redis-cli set a b && redis-cli get a | grep -qx b", "a value"),
        Server("memcached", "memcached", r"printf 'set a 0 0 1\r\nb\r\nquit\r\n' | nc -q1 127.0.0.1 11211 | grep -q STORED", "a value"),
        Server("tomcat10", "tomcat10", f"{HTTP}:8080/ | grep -q 'It works'", "a page"),
        Server("varnish", "varnish", "curl -sS -m 10 -D- -o /dev/null http://127.0.0.1:6081/ | grep -qi 'via:.*varnish'", "a page of tomcat10"),
        Server("systemd-timesyncd", "systemd-timesyncd", "false", "", lacks="the clock is the host's: its unit is skipped in containers (`ConditionVirtualization=!container`)"),
    ],
    "apache": [
        Server("apache2", "apache2", f"{HTTP}/ | grep -q Apache2", "a page"),
        Server(
            "haproxy",
            "haproxy",
            f"{HTTP}:8081/ | grep -qx hello",
            "a page",
            prepare="grep -q 8081 /etc/haproxy/haproxy.cfg || printf 'frontend try\\n  bind :8081\\n  http-request return status 200 content-type text/plain string hello\\n' >>/etc/haproxy/haproxy.cfg",
        ),
        Server("squid", "squid", "curl -fsS -m 10 -x http://127.0.0.1:3128 http://127.0.0.1/ | grep -q Apache2", "a page of apache2"),
        Server("prometheus-node-exporter", "prometheus-node-exporter", f"{HTTP}:9100/metrics | grep -q ^node_load1", "metrics"),
        Server("munin-node", "munin-node", r"printf 'list\nquit\n' | nc -q2 127.0.0.1 4949 | grep -q 'munin node'", "its list"),
        Server(
            "monit",
            "monit",
            f"{HTTP}:2812/_status?format=text | grep -q Monit",
            "its status",
            prepare="printf 'set httpd port 2812 and\\n  use address localhost\\n  allow localhost\\n' >/etc/monit/conf.d/try",
        ),
        Server("snmpd", "snmpd", "snmpget -v2c -c public 127.0.0.1 1.3.6.1.2.1.1.5.0 | grep -q STRING", "its name", more=("snmp",)),
        Server("cups", "cups", f"{HTTP}:631/ | grep -q CUPS", "a page"),
    ],
    "databases": [
        Server("postgresql", "postgresql@15-main", "runuser -u postgres -- psql -Atc 'select 6*7' | grep -qx 42", "a query"),
        Server("mariadb-server", "mariadb", "mariadb -N -e 'select 6*7' | grep -qx 42", "a query"),
        Server("rabbitmq-server", "rabbitmq-server", "rabbitmqctl -q add_vhost try$$ && rabbitmqctl -q list_vhosts | grep -q try", "a virtual host"),
        Server(
            "mosquitto",
            "mosquitto",
            "mosquitto_pub -r -t a -m hello && mosquitto_sub -C 1 -W 5 -t a | grep -qx hello",
            "a message",
            more=("mosquitto-clients",),
        ),
        Server(
            "slapd",
            "slapd",
            "ldapsearch -x -H ldap://127.0.0.1 -b '' -s base namingContexts | grep -q dc=",
            "a search",
            more=("ldap-utils",),
            answers=("slapd slapd/domain string example.org", "slapd slapd/password1 password sesame", "slapd slapd/password2 password sesame"),
        ),
    ],
    "mail": [
        Server(
            "postfix",
            "postfix@-",
            MAIL,
            "a mail is delivered",
            prepare=ACCOUNT,
            answers=("postfix postfix/main_mailer_type select Local only", "postfix postfix/mailname string mail.example.org"),
        ),
        Server(
            "dovecot-imapd",
            "dovecot",
            "curl -fsS -m 10 -u guest:sesame imap://127.0.0.1/ | grep -q INBOX",
            "the folders of a user",
            prepare=ACCOUNT + "usermod -aG mail guest",
        ),
        Server("rsyslog", "rsyslog", 'logger "hello $$"; sleep 1; grep -q "hello $$" /var/log/syslog', "a line"),
        Server(
            "openssh-server",
            "ssh",
            "ssh -o StrictHostKeyChecking=no -o BatchMode=yes root@127.0.0.1 echo hello | grep -qx hello",
            "a command over a connection",
            prepare=KEY,
        ),
        Server("cron", "cron", "test -e /run/cron-was-here", "a job of every minute", prepare="echo '* * * * * root touch /run/cron-was-here' >/etc/cron.d/try"),
        Server(
            "fail2ban",
            "fail2ban",
            "fail2ban-client ping | grep -q pong && fail2ban-client status sshd | grep -q Filter && fail2ban-client set sshd banip 192.0.2.7 && nft list ruleset | grep -q 192.0.2.7",
            "an address is banned",
            prepare="printf '[sshd]\\nbackend = systemd\\nbanaction = nftables\\n' >/etc/fail2ban/jail.local",
            more=("python3-systemd", "nftables"),
        ),
        Server("systemd-resolved", "systemd-resolved", "resolvectl query localhost | grep -q 127.0.0.1", "a name", prepare="true", note="its name on the bus is there after a restart, as on any Debian"),
    ],
    "names": [
        Server("exim4-daemon-light", "exim4", MAIL, "a mail is delivered", prepare=ACCOUNT, answers=("exim4-config exim4/dc_eximconfig_configtype select local delivery only; not on a network",)),
        Server("bind9", "named", "dig +short +timeout=3 @127.0.0.1 localhost | grep -qx 127.0.0.1", "a name"),
        Server("samba", "smbd", "smbclient -N -L 127.0.0.1 | grep -q IPC", "the list of shares", more=("smbclient",)),
        Server("vsftpd", "vsftpd", "curl -fsS -m 10 -u guest:sesame ftp://127.0.0.1/ >/dev/null", "the files of a user", prepare=ACCOUNT),
        Server("chrony", "chrony", "false", "", lacks="the clock is the host's: its unit is skipped without `CAP_SYS_TIME`; the host runs it for all"),
        Server(
            "rsync",
            "rsync",
            "rsync rsync://127.0.0.1/try/ | grep -q hostname",
            "a list of files",
            prepare="printf '[try]\\npath = /etc\\n' >/etc/rsyncd.conf; systemctl enable -q rsync",
        ),
        Server("avahi-daemon", "avahi-daemon", "avahi-resolve -n $(hostname).local", "its own name", more=("avahi-utils",)),
    ],
    "more-names": [
        Server("unbound", "unbound", "dig +short +timeout=3 @127.0.0.1 localhost | grep -qx 127.0.0.1", "a name"),
        Server(
            "proftpd-core",
            "proftpd",
            "curl -fsS -m 10 -u guest:sesame ftp://127.0.0.1/ >/dev/null",
            "the files of a user",
            prepare=ACCOUNT,
        ),
        Server(
            "openvpn",
            "openvpn-server@try",
            "ip -4 address show dev tun0 | grep -q 10.8.0.1",
            "a tunnel stands",
            prepare="cd /etc/openvpn/server; test -f try.key || openvpn --genkey secret try.key; printf 'dev tun\\nifconfig 10.8.0.1 10.8.0.2\\nsecret try.key\\ncipher AES-256-CBC\\n' >try.conf",
        ),
        Server(
            "nfs-kernel-server",
            "nfs-kernel-server",
            "false",
            "",
            lacks="the server is part of the host's kernel and knows no containers: nfs-ganesha is one that runs inside, or the host exports",
        ),
        Server("tor", "tor@default", "printf '\\005\\001\\000' | nc -q2 127.0.0.1 9050 | grep -q .", "its greeting"),
    ],
    "dnsmasq": [
        Server("dnsmasq", "dnsmasq", "dig +short +timeout=3 @127.0.0.1 $(hostname) | grep -q .", "its own name"),
        Server("lighttpd", "lighttpd", f"{HTTP}/ | grep -qi lighttpd", "a page"),
        Server("polkitd", "polkit", "busctl call org.freedesktop.PolicyKit1 /org/freedesktop/PolicyKit1/Authority org.freedesktop.DBus.Properties Get ss org.freedesktop.PolicyKit1.Authority BackendName", "its properties"),
        Server("upower", "upower", "busctl call org.freedesktop.UPower /org/freedesktop/UPower org.freedesktop.UPower EnumerateDevices", "its devices"),
        Server("ntpsec", "ntpsec", "false", "", lacks="the clock is the host's, as with chrony"),
    ],
}
