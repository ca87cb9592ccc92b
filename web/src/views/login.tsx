import { useContext, useState } from 'preact/hooks';
import { post, type Refused } from '../api.js';
import { PageContext } from '../hooks.js';

export function LoginView() {
  const { connection } = useContext(PageContext);
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState('');
  const login = async (event: Event) => {
    event.preventDefault();
    try {
      await post('login', { token: token.trim() }, { 'content-type': 'application/json' });
      setToken('');
      connection.open();
    } catch (error) {
      setProblem((error as Refused).message);
    }
  };
  return (
    <main class="login">
      <h1>mipha-edge</h1>
      <form onSubmit={login}>
        <label for="token">Token of this node</label>
        <input
          id="token"
          type="password"
          autocomplete="current-password"
          required
          value={token}
          onInput={({ currentTarget }) => setToken(currentTarget.value)}
        />
        <button type="submit">Log in</button>
        <p role="alert">{problem}</p>
      </form>
      <p class="soft">Whoever set up this node has it: a file that http.tokens of its configuration names.</p>
    </main>
  );
}
