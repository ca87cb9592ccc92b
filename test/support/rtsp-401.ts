/** A camera that lets nobody in, and remembers with what name and password it was asked. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface Doorkeeper extends AsyncDisposable {
  port: number;
  /** `user:password` as bytes, in the order of asking. */
  logins: Buffer[];
}

/** Asks for Basic authentication and answers 404 to whoever brings it. */
export async function startDoorkeeper(): Promise<Doorkeeper> {
  const logins: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (data) => {
      text += data.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const request = text.slice(0, end);
        text = text.slice(end + 4);
        const number = /^CSeq: (\d+)/im.exec(request)?.[1] ?? '';
        const login = /^Authorization: Basic (\S+)/im.exec(request)?.[1];
        if (login !== undefined) logins.push(Buffer.from(login, 'base64'));
        const status = login === undefined ? '401 Unauthorized\r\nWWW-Authenticate: Basic realm="test"' : '404 Not Found';
        socket.write(`RTSP/1.0 ${status}\r\nCSeq: ${number}\r\n\r\n`);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    logins,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
