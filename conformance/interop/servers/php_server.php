<?php
// An echo server on PHP's own stream sockets, one process, in the manner of the usual PHP servers.

$context = stream_context_create(['ssl' => [
    'local_cert' => getenv('INTEROP_CERTIFICATE'),
    'local_pk' => getenv('INTEROP_KEY'),
]]);
$host = getenv('INTEROP_HOST');
$limit = (int) getenv('INTEROP_LIMIT');
$listeners = [
    stream_socket_server("tcp://$host:" . getenv('INTEROP_PORT')),
    stream_socket_server("ssl://$host:" . getenv('INTEROP_TLS_PORT'), $n, $s, 12, $context),
];
$clients = [];

class Client {
    public string $in = '';
    public string $out = '';
    public string $message = '';
    public int $opcode = 0;
    public bool $open = false;
    public bool $ending = false;
    public float $last;

    public function __construct(public $stream) { $this->last = microtime(true); }

    public function frame(int $opcode, string $data, bool $fin = true): void {
        $length = strlen($data);
        $head = chr(($fin ? 0x80 : 0) | $opcode);
        if ($length < 126) $head .= chr($length);
        elseif ($length < 65536) $head .= chr(126) . pack('n', $length);
        else $head .= chr(127) . pack('J', $length);
        $this->out .= $head . $data;
    }

    public function close(int $code, string $reason): void {
        $this->frame(8, pack('n', $code) . $reason);
        $this->ending = true;
    }

    public function handshake(): void {
        $end = strpos($this->in, "\r\n\r\n");
        if ($end === false) return;
        $head = substr($this->in, 0, $end);
        $this->in = substr($this->in, $end + 4);
        preg_match('/^Sec-WebSocket-Key: *(\S+)/mi', $head, $key);
        $accept = base64_encode(sha1($key[1] . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11', true));
        $this->out .= "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            . "Connection: Upgrade\r\nSec-WebSocket-Accept: $accept\r\n";
        $chosen = getenv('INTEROP_SUBPROTOCOL');
        if (preg_match('/^Sec-WebSocket-Protocol:.*\b' . preg_quote($chosen) . '\b/mi', $head))
            $this->out .= "Sec-WebSocket-Protocol: $chosen\r\n";
        $this->out .= "\r\n";
        $this->open = true;
    }

    public function frames(int $limit): void {
        while (strlen($this->in) >= 2 && !$this->ending) {
            $fin = ord($this->in[0]) & 0x80;
            $opcode = ord($this->in[0]) & 0x0f;
            $length = ord($this->in[1]) & 0x7f;
            $offset = 2;
            if ($length === 126) {
                if (strlen($this->in) < 4) return;
                $length = unpack('n', $this->in, 2)[1];
                $offset = 4;
            } elseif ($length === 127) {
                if (strlen($this->in) < 10) return;
                $length = unpack('J', $this->in, 2)[1];
                $offset = 10;
            }
            if ($length > $limit) { $this->close(1009, 'too long'); return; }
            if (strlen($this->in) < $offset + 4 + $length) return;
            $mask = substr($this->in, $offset, 4);
            $data = substr($this->in, $offset + 4, $length)
                ^ str_repeat($mask, intdiv($length, 4) + 1);
            $this->in = substr($this->in, $offset + 4 + $length);
            $this->received($opcode, $data, (bool) $fin);
        }
    }

    private function received(int $opcode, string $data, bool $fin): void {
        $this->last = microtime(true);
        if ($opcode === 8) { $this->frame(8, $data); $this->ending = true; return; }
        if ($opcode === 9) { $this->frame(10, $data); return; }
        if ($opcode === 10) { if ($data === 'there?') $this->frame(1, 'pong'); return; }
        if ($opcode) { $this->opcode = $opcode; $this->message = ''; }
        $this->message .= $data;
        if (!$fin) return;
        if ($this->opcode === 1 && str_starts_with($this->message, '#interop '))
            $this->obey(explode(' ', $this->message));
        else $this->frame($this->opcode, $this->message);
    }

    private function obey(array $words): void {
        switch ($words[1]) {
            case 'burst':
                for ($n = 0; $n < (int) $words[2]; $n++) $this->frame(1, (string) $n);
                break;
            case 'fragments':
                $this->frame(1, 'frag', false);
                $this->frame(0, 'ment', false);
                $this->frame(0, 'éd');
                break;
            case 'ping': $this->frame(9, 'there?'); break;
            case 'close': $this->close((int) $words[2], $words[3]); break;
            case 'pour':
                $this->frame(1, 'pouring');
                $this->frame(2, str_repeat("\0", (int) $words[2]));
                break;
        }
    }
}

$pinged = microtime(true);
while (true) {
    $read = array_merge($listeners, array_map(fn($c) => $c->stream, $clients));
    $write = array_map(fn($c) => $c->stream, array_filter($clients, fn($c) => $c->out !== ''));
    $none = null;
    stream_select($read, $write, $none, 0, 200000);
    foreach ($read as $stream) {
        if (in_array($stream, $listeners, true)) {
            $accepted = @stream_socket_accept($stream, 5);
            if (!$accepted) continue;
            stream_set_blocking($accepted, false);
            $clients[(int) $accepted] = new Client($accepted);
            continue;
        }
        $client = $clients[(int) $stream];
        // All that TLS has decrypted, or select() would not tell of the rest.
        while (($chunk = fread($stream, 65536)) !== '' && $chunk !== false) $client->in .= $chunk;
        if (feof($stream)) { fclose($stream); unset($clients[(int) $stream]); continue; }
        if (!$client->open) $client->handshake();
        if ($client->open) $client->frames($limit);
    }
    if (microtime(true) - $pinged > (int) getenv('INTEROP_PING')) {
        $pinged = microtime(true);
        foreach ($clients as $client) if ($client->open && !$client->ending) $client->frame(9, '');
    }
    foreach ($clients as $number => $client) {
        if ($client->out !== '') {
            $written = @fwrite($client->stream, substr($client->out, 0, 1 << 20));
            if ($written) $client->out = substr($client->out, $written);
        }
        $late = microtime(true) - $client->last > 2.5 * (int) getenv('INTEROP_PING');
        if ($client->ending && $client->out === '' || $client->open && $late) {
            stream_socket_shutdown($client->stream, STREAM_SHUT_WR);
            fclose($client->stream);
            unset($clients[$number]);
        }
    }
}
