/** A network camera as the ONVIF specifications have it: answers WS-Discovery on one interface and SOAP over HTTP. */
import { createHash } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const GROUP = '239.255.255.250'; // WS-Discovery 1.0, section 2.4
const PORT = 3702;

export interface DeviceOptions {
  name?: string;
  login?: { user: string; password: string };
  streams?: { token: string; width: number; height: number; uri: string }[];
  /** What it says instead of its own address. */
  xaddr?: string;
  /** Sent to whoever probes, instead of an answer. */
  garbage?: string;
  /** Sent to whoever asks over HTTP, instead of an answer. */
  httpGarbage?: string;
  /** It takes requests and says nothing. */
  silent?: boolean;
}

export class OnvifDevice {
  /** Names of the requests that came, and whether they had a login. */
  readonly requests: { action: string; login: boolean }[] = [];

  private constructor(
    private readonly options: DeviceOptions,
    private readonly http: Server,
    private readonly udp: Socket,
  ) {}

  static async start(options: DeviceOptions = {}): Promise<OnvifDevice> {
    const http = createServer();
    const udp = createSocket({ type: 'udp4', reuseAddr: true });
    const device = new OnvifDevice(options, http, udp);
    http.on('request', async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      if (options.silent) return;
      const { status, body } = device.answer(Buffer.concat(chunks).toString());
      response.writeHead(status, { 'Content-Type': 'application/soap+xml' }).end(body);
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    udp.on('message', (message, { port, address }) => {
      const id = /MessageID[^>]*>([^<]+)</.exec(message.toString())?.[1] ?? '';
      udp.send(options.garbage ?? device.match(id), port, address);
    });
    udp.bind(PORT, () => udp.addMembership(GROUP, '127.0.0.1'));
    await once(udp, 'listening');
    return device;
  }

  get port(): number {
    return (this.http.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.udp.close();
    this.http.closeAllConnections();
    this.http.close();
    await once(this.http, 'close');
  }

  private get service(): string {
    return this.options.xaddr ?? `http://127.0.0.1:${this.port}/onvif/device_service`;
  }

  private get scopes(): string[] {
    const base = 'onvif://www.onvif.org';
    return [`${base}/type/video_encoder`, `${base}/name/${encodeURIComponent(this.options.name ?? 'Front door')}`, `${base}/hardware/IPC-1`];
  }

  private match(relatesTo: string): string {
    return envelope(
      `<d:ProbeMatches xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><d:ProbeMatch>
        <a:EndpointReference xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"><a:Address>urn:uuid:${this.port}</a:Address></a:EndpointReference>
        <d:Types>dn:NetworkVideoTransmitter</d:Types>
        <d:Scopes>${this.scopes.join(' ')}</d:Scopes>
        <d:XAddrs>http://10.9.8.7/onvif/device_service ${this.service}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>
      </d:ProbeMatch></d:ProbeMatches>`,
      `<a:RelatesTo xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing">${relatesTo}</a:RelatesTo>`,
    );
  }

  private answer(request: string): { status: number; body: string } {
    const action = /<s:Body[^>]*>\s*<(?:\w+:)?(\w+)/.exec(request)?.[1] ?? '';
    const { login, streams = [{ token: 'main', width: 1920, height: 1080, uri: 'rtsp://127.0.0.1:554/main' }], httpGarbage } = this.options;
    this.requests.push({ action, login: request.includes('UsernameToken') });
    if (httpGarbage !== undefined) return { status: 200, body: httpGarbage };
    if (action === 'GetSystemDateAndTime') return ok(CLOCK); // open to everybody: Core specification, 5.12.1
    if (login !== undefined && !isLogin(request, login)) return { status: 400, body: envelope(NOT_AUTHORIZED) };
    switch (action) {
      case 'GetServices':
        return ok(
          `<tds:GetServicesResponse xmlns:tds="http://www.onvif.org/ver10/device/wsdl">${service('http://www.onvif.org/ver10/device/wsdl', this.service)}${service('http://www.onvif.org/ver10/media/wsdl', this.service)}</tds:GetServicesResponse>`,
        );
      case 'GetScopes':
        return ok(
          `<tds:GetScopesResponse xmlns:tds="http://www.onvif.org/ver10/device/wsdl">${this.scopes.map((scope) => `<tds:Scopes><tt:ScopeDef xmlns:tt="http://www.onvif.org/ver10/schema">Fixed</tt:ScopeDef><tt:ScopeItem xmlns:tt="http://www.onvif.org/ver10/schema">${scope}</tt:ScopeItem></tds:Scopes>`).join('')}</tds:GetScopesResponse>`,
        );
      case 'GetProfiles':
        return ok(
          `<trt:GetProfilesResponse xmlns:trt="http://www.onvif.org/ver10/media/wsdl">${streams.map(profile).join('')}</trt:GetProfilesResponse>`,
        );
      case 'GetVideoSources':
        return ok(
          '<trt:GetVideoSourcesResponse xmlns:trt="http://www.onvif.org/ver10/media/wsdl"><trt:VideoSources token="source"><tt:Framerate xmlns:tt="http://www.onvif.org/ver10/schema">25</tt:Framerate></trt:VideoSources></trt:GetVideoSourcesResponse>',
        );
      case 'GetStreamUri': {
        const token = /ProfileToken>([^<]+)</.exec(request)?.[1];
        const uri = streams.find((stream) => stream.token === token)?.uri ?? '';
        return ok(
          `<trt:GetStreamUriResponse xmlns:trt="http://www.onvif.org/ver10/media/wsdl"><trt:MediaUri><tt:Uri xmlns:tt="http://www.onvif.org/ver10/schema">${uri.replaceAll('&', '&amp;')}</tt:Uri></trt:MediaUri></trt:GetStreamUriResponse>`,
        );
      }
      default:
        return { status: 500, body: envelope('<s:Fault><s:Reason><s:Text>Optional Action Not Implemented</s:Text></s:Reason></s:Fault>') };
    }
  }
}

const CLOCK = `<tds:GetSystemDateAndTimeResponse xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema"><tds:SystemDateAndTime>
  <tt:DateTimeType>NTP</tt:DateTimeType><tt:UTCDateTime><tt:Time><tt:Hour>12</tt:Hour><tt:Minute>0</tt:Minute><tt:Second>0</tt:Second></tt:Time>
  <tt:Date><tt:Year>2026</tt:Year><tt:Month>11</tt:Month><tt:Day>28</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>`;
const NOT_AUTHORIZED =
  '<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason><s:Text xml:lang="en">Sender not Authorized</s:Text></s:Reason></s:Fault>';

function ok(body: string): { status: number; body: string } {
  return { status: 200, body: envelope(body) };
}

function envelope(body: string, header = ''): string {
  return `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>${header}</s:Header><s:Body>${body}</s:Body></s:Envelope>`;
}

function service(namespace: string, address: string): string {
  return `<tds:Service><tds:Namespace>${namespace}</tds:Namespace><tds:XAddr>${address}</tds:XAddr><tds:Version><tt:Major xmlns:tt="http://www.onvif.org/ver10/schema">2</tt:Major><tt:Minor xmlns:tt="http://www.onvif.org/ver10/schema">0</tt:Minor></tds:Version></tds:Service>`;
}

function profile({ token, width, height }: { token: string; width: number; height: number }): string {
  return `<trt:Profiles token="${token}" fixed="true" xmlns:tt="http://www.onvif.org/ver10/schema"><tt:Name>${token} stream</tt:Name>
    <tt:VideoSourceConfiguration token="vs"><tt:Name>v</tt:Name><tt:UseCount>1</tt:UseCount><tt:SourceToken>source</tt:SourceToken></tt:VideoSourceConfiguration>
    <tt:VideoEncoderConfiguration token="ve"><tt:Name>e</tt:Name><tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>${width}</tt:Width><tt:Height>${height}</tt:Height></tt:Resolution></tt:VideoEncoderConfiguration></trt:Profiles>`;
}

/** UsernameToken profile 1.0: the digest is Base64(SHA-1(nonce + created + password)). */
function isLogin(request: string, { user, password }: { user: string; password: string }): boolean {
  const part = (name: string) => new RegExp(`<(?:\\w+:)?${name}(?:\\s[^>]*)?>([^<]*)<`).exec(request)?.[1] ?? '';
  const digest = createHash('sha1')
    .update(Buffer.concat([Buffer.from(part('Nonce'), 'base64'), Buffer.from(part('Created') + password)]))
    .digest('base64');
  return part('Username') === user && part('Password') === digest;
}
