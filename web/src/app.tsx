import { useEffect, useRef } from 'preact/hooks';
import { usePage, useRoute } from './hooks.js';
import { Announcer } from './parts/announcer.js';
import { LinkState } from './parts/link-state.js';
import { AskView } from './views/ask.js';
import { FleetView } from './views/fleet.js';
import { LoginView } from './views/login.js';
import { NodeView } from './views/node.js';
import { NowView } from './views/now.js';
import { WatchView } from './views/watch.js';

const VIEWS = [
  ['', 'Now'],
  ['ask', 'Ask'],
  ['fleet', 'Fleet'],
  ['node', 'Node'],
] as const;

export function App() {
  const { model, connection } = usePage();
  const [view = '', id = ''] = useRoute();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const title = view === 'watch' ? id : (VIEWS.find(([name]) => name === view)?.[1] ?? 'Now');
  useEffect(() => {
    document.title = `${title} · ${model.hello?.node ?? 'mipha-edge'}`;
  }, [title, model.hello?.node]);
  useEffect(() => {
    if (!first.current) {
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true }); // whoever reads by ear hears where they are
    }
    first.current = false;
  }, [view, id]);
  if (connection.link === 'login') return <LoginView />;
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <header class="top">
        <p class="name">{model.hello?.node ?? 'mipha-edge'}</p>
        <nav aria-label="Views">
          {VIEWS.map(([name, words]) => (
            <a key={name} href={`#/${name}`} aria-current={view === name || (view === 'watch' && name === '') ? 'page' : undefined}>
              {words}
            </a>
          ))}
        </nav>
        <LinkState />
      </header>
      <main id="main" tabIndex={-1} ref={main} class={connection.link === 'connected' ? '' : 'old'}>
        {view === 'ask' ? (
          <AskView />
        ) : view === 'fleet' ? (
          <FleetView />
        ) : view === 'node' ? (
          <NodeView />
        ) : view === 'watch' ? (
          <WatchView key={id} id={id} />
        ) : (
          <NowView />
        )}
      </main>
      <Announcer />
    </>
  );
}
